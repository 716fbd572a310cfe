-- Partners get an id that is not their name, so that they can be renamed, and can be suspended. The feed
-- names the kind of what changed; `change.key_id` is the id of whatever that is.
--
-- This step only expands, so the build before keeps running on it. That build knows a partner by its name:
-- `key.partner` stays equal to the partner's name, and triggers add the ids that it does not write. A later
-- step drops all three. It would serve the keys of a suspended partner, so while there is one, this step is
-- marked as not compatible (see `write.rs`).

ALTER TABLE partner ADD COLUMN id TEXT;
ALTER TABLE partner ADD COLUMN suspended INTEGER;
-- A UUIDv7 of the moment at which the partner was made.
UPDATE partner SET id = lower(
    printf('%08x-%04x-7', max(created, 0) / 65536000, max(created, 0) / 1000 % 65536)
    || substr(hex(randomblob(2)), 2) || '-'
    || substr('89ab', abs(random() % 4) + 1, 1) || substr(hex(randomblob(2)), 2) || '-'
    || hex(randomblob(6)));
CREATE UNIQUE INDEX partner_by_id ON partner (id);
CREATE TRIGGER partner_without_id AFTER INSERT ON partner WHEN NEW.id IS NULL BEGIN
    UPDATE partner SET id = lower(
        printf('%08x-%04x-7', max(created, 0) / 65536000, max(created, 0) / 1000 % 65536)
        || substr(hex(randomblob(2)), 2) || '-'
        || substr('89ab', abs(random() % 4) + 1, 1) || substr(hex(randomblob(2)), 2) || '-'
        || hex(randomblob(6)))
    WHERE name = NEW.name;
END;

ALTER TABLE key ADD COLUMN partner_id TEXT REFERENCES partner (id);
UPDATE key SET partner_id = (SELECT partner.id FROM partner WHERE partner.name = key.partner);
CREATE INDEX key_by_partner_id ON key (partner_id);
CREATE TRIGGER key_without_partner_id AFTER INSERT ON key WHEN NEW.partner_id IS NULL BEGIN
    UPDATE key SET partner_id = (SELECT partner.id FROM partner WHERE partner.name = NEW.partner)
    WHERE id = NEW.id;
END;

ALTER TABLE change ADD COLUMN kind TEXT NOT NULL DEFAULT 'key';
