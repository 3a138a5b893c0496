-- Files that people share.

ALTER TABLE meta ADD COLUMN shares INTEGER NOT NULL DEFAULT 0;      -- how many rows the table shares has

CREATE TABLE shares (
  owner INTEGER NOT NULL REFERENCES accounts,
  hash BLOB NOT NULL,             -- BLAKE3 of what is in the file
  size INTEGER NOT NULL,          -- in bytes
  name TEXT NOT NULL,
  people TEXT,                    -- who may see it: names with a space between each two; NULL: everyone
  device BLOB NOT NULL,           -- of the owner: the key that signed it
  signature BLOB NOT NULL,        -- Ed25519, 64 bytes
  time INTEGER NOT NULL,          -- when it was shared, or last claimed by its owner
  crc INTEGER NOT NULL,
  PRIMARY KEY (owner, hash)
) STRICT, WITHOUT ROWID;
