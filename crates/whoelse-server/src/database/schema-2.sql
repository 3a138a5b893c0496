-- Devices, roles, locks by administrators, removed people, invites, and names that nobody has.

ALTER TABLE meta ADD COLUMN invites INTEGER NOT NULL DEFAULT 0;     -- how many rows the table invites has
ALTER TABLE meta ADD COLUMN last_invite INTEGER NOT NULL DEFAULT 0; -- the number of the last one ever made
ALTER TABLE meta ADD COLUMN strangers INTEGER NOT NULL DEFAULT 0;   -- how many rows the table strangers has

ALTER TABLE accounts ADD COLUMN role INTEGER NOT NULL DEFAULT 0;    -- 0: member, 1: administrator
ALTER TABLE accounts ADD COLUMN is_locked INTEGER NOT NULL DEFAULT 0;  -- by an administrator
ALTER TABLE accounts ADD COLUMN is_removed INTEGER NOT NULL DEFAULT 0; -- nothing is left but the name
ALTER TABLE accounts ADD COLUMN failed_logins INTEGER NOT NULL DEFAULT 0; -- not told yet
ALTER TABLE accounts ADD COLUMN devices INTEGER NOT NULL DEFAULT 0; -- how many rows of it the table devices has

-- What may resume without a password.
CREATE TABLE devices (
  account INTEGER NOT NULL REFERENCES accounts,
  key BLOB NOT NULL,              -- Ed25519, 32 bytes
  name TEXT NOT NULL,
  added INTEGER NOT NULL,
  used INTEGER NOT NULL,          -- when a session of it last began
  crc INTEGER NOT NULL,
  PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;

-- Invites that are open.
CREATE TABLE invites (
  number INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,             -- SHA-256 of the secret
  by INTEGER REFERENCES accounts, -- NULL: the operator
  role INTEGER NOT NULL,
  is_first INTEGER NOT NULL,      -- made because there were no people
  expires INTEGER NOT NULL,
  crc INTEGER NOT NULL
) STRICT;

-- Failed logins in a row of names that nobody has.
CREATE TABLE strangers (
  key BLOB PRIMARY KEY,           -- hash of the name, 16 bytes, little-endian
  strikes INTEGER NOT NULL,
  locked_until INTEGER,
  time INTEGER NOT NULL,          -- of the last of them
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
