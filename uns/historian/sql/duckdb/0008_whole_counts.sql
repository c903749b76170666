-- As on other stores: only whole numbers of up to 18 digits are counts, nothing is rounded.
CREATE OR REPLACE MACRO as_count(number) AS
    CASE WHEN regexp_full_match(number, '-?[0-9]{1,18}') THEN CAST(number AS BIGINT) END;
