-- What answers a key's calls to a retired version: 'refuse' (410) or 'forward' (the successor).
ALTER TABLE key ADD COLUMN on_retired TEXT NOT NULL DEFAULT 'refuse';
