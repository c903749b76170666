-- The newest value of each tag is written again with every batch. Half of a page is left for that:
-- the new row stands beside the old one and no index hears of it.
ALTER TABLE newest_tags SET (fillfactor = 50);
