CREATE UNIQUE INDEX stop_changes_by_id ON stop_changes (cell, stop_id);
