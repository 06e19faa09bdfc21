--
-- codes: names of the numeric codes in documents.
--
\pset format unaligned
\pset fieldsep ' | '
\pset footer off
\pset null '(null)'

SELECT kind, code, allpass_code_name(kind, code) AS name FROM (VALUES
	('CheckResult', 0), ('CheckResult', 1), ('CheckResult', 2), ('CheckResult', 3), ('CheckResult', -1),
	('FieldVerificationResult', 0), ('FieldVerificationResult', 1), ('FieldVerificationResult', 2), ('FieldVerificationResult', 3), ('FieldVerificationResult', 4),
	('DocFormat', -1), ('DocFormat', 0), ('DocFormat', 1002), ('DocFormat', 6),
	('GraphicFieldType', 201), ('GraphicFieldType', 204), ('GraphicFieldType', 315), ('GraphicFieldType', 200),
	('ResultType', 3), ('ResultType', 17), ('ResultType', 102), ('ResultType', -1),
	('FieldType', 0), ('FieldType', 2), ('FieldType', 8), ('FieldType', 9), ('FieldType', 703), ('FieldType', 2147483647), ('FieldType', -2147483648),
	('DocType', 0), ('DocType', 11), ('DocType', 12), ('DocType', 49), ('DocType', 222),
	('Lcid', 0), ('Lcid', 1033), ('Lcid', 1062), ('Lcid', 1)) AS c (kind, code);

-- a kind is known in any case, with or without underscores
SELECT DISTINCT allpass_code_name(kind, 8) FROM unnest('{FieldType,fieldtype,FIELDTYPE,field_type,Field_Type,field-type}'::text[]) AS kind;
SELECT allpass_code_name('LCID', 0) = allpass_code_name('lcid', 0) AS same;

-- NULL for NULL; another kind is a mistake
SELECT allpass_code_name(NULL, 8), allpass_code_name('FieldType', NULL);
SELECT allpass_code_name('Colour', 1);
SELECT allpass_code_name('', 1);
SELECT allpass_code_name('FieldTypes', 1);

-- how many there are of each kind, and none twice
SELECT kind, count(name) AS names, count(DISTINCT name) = count(name) AS distinct, min(code), max(code)
FROM unnest('{CheckResult,DocFormat,DocType,FieldType,FieldVerificationResult,GraphicFieldType,Lcid,ResultType}'::text[]) AS kind,
	 LATERAL (SELECT code, allpass_code_name(kind, code) AS name FROM generate_series(-1000, 70000) AS code) AS c
WHERE name IS NOT NULL GROUP BY kind ORDER BY kind COLLATE "C";
-- the same as in the tables they are made from
\set tables `cd "$PG_ABS_SRCDIR/../src/codes" && for file in *.tsv; do sed "1d; s/^/${file%.tsv}\t/" "$file"; done`
SELECT count(*) FILTER (WHERE allpass_code_name(field[1], field[2]::int) IS DISTINCT FROM field[3]) AS wrong, count(*) > 1000 AS many
FROM string_to_table(:'tables', E'\n') AS line, string_to_array(line, E'\t') AS field;
