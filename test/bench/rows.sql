-- The row functions beside the same rows written in SQL.
-- Variables: document (a file), calls, rounds

SET jit = off;
CREATE TEMP TABLE documents (document jsonb);
-- neither side is to pay for decompression
ALTER TABLE documents ALTER document SET STORAGE EXTERNAL;
INSERT INTO documents
	SELECT pg_read_file(:'document')::jsonb FROM generate_series(1, :calls);

CREATE TEMP VIEW services AS
	SELECT s.* FROM documents, allpass_services(document) s;
CREATE TEMP VIEW services_in_sql AS
	SELECT s.ordinality::integer AS ordinality,
		s.value->>'service' AS service,
		s.value->>'status' AS status,
		s.value->>'type' AS type,
		s.value->'data'->>'stepType' AS step_type,
		(s.value->'data'->>'overallResult')::integer AS overall_result,
		(s.value->'data'->>'elapsedTime')::numeric AS elapsed_time,
		(s.value->'data'->>'elapsedTimeRFID')::numeric AS elapsed_time_rfid,
		(s.value->'data'->>'uploadedPagesCount')::integer AS uploaded_pages_count,
		(s.value->>'deactivatedServiceCount')::integer AS deactivated_service_count,
		s.value->>'errorMessage' AS error_message,
		s.value->>'reason' AS reason,
		(s.value->'data'->>'createdAt')::timestamptz AS created_at,
		s.value->'data' AS data
	FROM documents,
		jsonb_array_elements(document->'servicesData') WITH ORDINALITY s;

CREATE TEMP VIEW fields AS
	SELECT f.field_type, f.id, f.doc_id, f.lcid, f.status, f.page_index, f.probability,
		f.validity, f.value, f.source_type, f.comparison, f.created_at, f.service_ordinality
	FROM documents, allpass_document_fields(document) f;
CREATE TEMP VIEW fields_in_sql AS
	SELECT coalesce(f.value->>'fieldType', g.value->>'fieldType')::integer AS field_type,
		f.value->>'id' AS id,
		f.value->>'docId' AS doc_id,
		(f.value->>'lcid')::integer AS lcid,
		(f.value->>'status')::integer AS status,
		(f.value->>'pageIndex')::integer AS page_index,
		(f.value->>'probability')::numeric AS probability,
		(f.value->>'validity')::integer AS validity,
		f.value->>'value' AS value,
		(f.value->>'sourceType')::integer AS source_type,
		f.value->'comparison' AS comparison,
		(f.value->>'createdAt')::timestamptz AS created_at,
		s.ordinality::integer AS service_ordinality
	FROM documents,
		jsonb_array_elements(document->'servicesData') WITH ORDINALITY s,
		jsonb_array_elements(s.value->'data'->'fields') g,
		jsonb_array_elements(g.value->'data') f;

-- The comparison is worth nothing unless both give the same rows, and some.
DO $$
BEGIN
	IF EXISTS ((TABLE services EXCEPT TABLE services_in_sql) UNION ALL
		(TABLE services_in_sql EXCEPT TABLE services)) OR
		EXISTS ((TABLE fields EXCEPT TABLE fields_in_sql) UNION ALL
		(TABLE fields_in_sql EXCEPT TABLE fields)) OR
		NOT EXISTS (TABLE services) OR NOT EXISTS (TABLE fields) THEN
		RAISE EXCEPTION 'the rows differ';
	END IF;
END
$$;

-- Explaining with analysis computes every column, and sends none.
SELECT measure(view, :calls,
		'EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM ' || view || ' LIMIT 100 * %s')
	FROM generate_series(1, :rounds),
		unnest('{services,services_in_sql,fields,fields_in_sql}'::text[]) AS view;
