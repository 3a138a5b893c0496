-- Where messages went that were sent under ids, for receipts.

-- Whether the entries of a row hold, behind the time, the recipient (4 bytes) and the number in its mailbox (8 bytes).
ALTER TABLE sent ADD COLUMN is_wide INTEGER NOT NULL DEFAULT 0;
