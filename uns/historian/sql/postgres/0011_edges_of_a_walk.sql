-- The edges that go on from the nearest that a walk reaches, from so many of them. The recursion of
-- where_used() and contents_of() tells what is near first.
CREATE FUNCTION edges_down(identifier TEXT, at_most BIGINT) RETURNS SETOF edges
    LANGUAGE sql STABLE ROWS 1000
    AS $$
        SELECT e.*
        FROM (SELECT id FROM where_used(identifier) LIMIT at_most) AS r
        JOIN edges AS e ON e.input_id = r.id
    $$;
CREATE FUNCTION edges_up(identifier TEXT, at_most BIGINT) RETURNS SETOF edges
    LANGUAGE sql STABLE ROWS 1000
    AS $$
        SELECT e.*
        FROM (SELECT id FROM contents_of(identifier) LIMIT at_most) AS r
        JOIN edges AS e ON e.output_id = r.id
    $$;
