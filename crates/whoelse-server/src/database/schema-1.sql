-- Times are milliseconds since the Unix epoch. The column crc of each row is a CRC-32C of the rest.

-- One row: what the file is, and how far it has followed the journal.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  server_id TEXT NOT NULL,
  position INTEGER NOT NULL,      -- the last batch of the journal that is in here
  newest INTEGER NOT NULL,        -- time of the newest record
  accounts INTEGER NOT NULL,      -- how many rows the table accounts has
  has_journal INTEGER NOT NULL,   -- whether there must be a journal
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
  account INTEGER PRIMARY KEY,    -- dense, from 0
  name TEXT NOT NULL,
  password TEXT,                  -- hashed; NULL: an imported one is not hashed yet
  strikes INTEGER NOT NULL,       -- failed logins in a row
  locked_until INTEGER,
  last_seen INTEGER,              -- when the last session began or ended
  open INTEGER NOT NULL,          -- whether it is open
  blocks INTEGER NOT NULL,        -- how many rows of this blocker the table blocks has
  last_number INTEGER NOT NULL,   -- of the mailbox
  acknowledged INTEGER NOT NULL,  -- the last number that has reached its reader
  sent_last INTEGER NOT NULL,     -- how many messages were sent under an id
  sent_pruned INTEGER NOT NULL,   -- how many of them are forgotten
  crc INTEGER NOT NULL
) STRICT;

CREATE TABLE blocks (
  blocker INTEGER NOT NULL REFERENCES accounts,
  blocked INTEGER NOT NULL REFERENCES accounts,
  crc INTEGER NOT NULL,
  PRIMARY KEY (blocker, blocked)
) STRICT, WITHOUT ROWID;

-- What waits: dense from acknowledged + 1 to last_number of its account.
CREATE TABLE mail (
  account INTEGER NOT NULL REFERENCES accounts,
  number INTEGER NOT NULL,
  sender INTEGER NOT NULL REFERENCES accounts,
  time INTEGER NOT NULL,          -- by the server's time that never goes back
  at_ms INTEGER NOT NULL,         -- by the wall clock
  retry BLOB,                     -- hash of the id (16 bytes) and of the content (8), little-endian
  body TEXT NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (account, number)
) STRICT, WITHOUT ROWID;

-- The ids that each account used lately, so that a repetition is recognised. A row holds those of
-- one projection: 16 bytes hash of the id, 8 of the content, 8 of the time, little-endian each.
CREATE TABLE sent (
  account INTEGER NOT NULL REFERENCES accounts,
  last INTEGER NOT NULL,          -- the place of its last entry among all of the account
  newest INTEGER NOT NULL,        -- the time of its last entry
  entries BLOB NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (account, last)
) STRICT, WITHOUT ROWID;
