/**
 * The tables of Mirabelle in every data directory's template. They live in pg_catalog, so `SELECT * FROM gp_segment_configuration`
 * needs no schema; on segments only dtx_committed is used, on the coordinator all of them are, and they reach the standby as WAL.
 */
export const bootstrapSql = `
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.gp_segment_configuration (
  dbid smallint NOT NULL, content smallint NOT NULL, role "char" NOT NULL, preferred_role "char" NOT NULL, mode "char" NOT NULL,
  status "char" NOT NULL, port integer NOT NULL, hostname text NOT NULL, address text NOT NULL, datadir text NOT NULL);
CREATE TABLE pg_catalog.gp_configuration_history (time timestamptz NOT NULL, dbid smallint NOT NULL, description text);
CREATE TABLE pg_catalog.gp_distribution_policy (
  localoid oid NOT NULL, policytype "char" NOT NULL, numsegments integer NOT NULL, distkey int2[] NOT NULL);
CREATE TABLE pg_catalog.mirabelle_endpoint (dbid smallint NOT NULL, addresses text[] NOT NULL, port integer NOT NULL);
CREATE TABLE pg_catalog.mirabelle_host (hostname text NOT NULL, addresses text[] NOT NULL, agent_port integer NOT NULL);
CREATE TABLE pg_catalog.mirabelle_setting (name text NOT NULL, value text NOT NULL);
CREATE TABLE pg_catalog.mirabelle_cluster (key text NOT NULL, value text NOT NULL);
CREATE TABLE pg_catalog.dtx_committed (gid text NOT NULL);
CREATE UNLOGGED TABLE pg_catalog.gp_stat_replication (
  gp_segment_id integer, pid integer, usesysid oid, usename name, application_name text, client_addr inet, client_hostname text,
  client_port integer, backend_start timestamptz, backend_xmin xid, state text, sent_lsn pg_lsn, write_lsn pg_lsn, flush_lsn pg_lsn,
  replay_lsn pg_lsn, write_lag interval, flush_lag interval, replay_lag interval, sync_priority integer, sync_state text,
  reply_time timestamptz, sync_error text);
CREATE OR REPLACE VIEW pg_catalog.pg_stat_replication AS
  SELECT pid, usesysid, usename, application_name, client_addr, client_hostname, client_port, backend_start, backend_xmin, state, sent_lsn,
    write_lsn, flush_lsn, replay_lsn, write_lag, flush_lag, replay_lag, sync_priority, sync_state, reply_time
  FROM pg_catalog.gp_stat_replication WHERE gp_segment_id = -1;
CREATE OR REPLACE VIEW pg_catalog.pg_replication_slots AS
  SELECT l.slot_name, l.plugin, l.slot_type, l.datoid, d.datname AS database, l.temporary, l.active OR r.pid IS NOT NULL AS active,
    coalesce(r.pid, l.active_pid) AS active_pid, l.xmin, l.catalog_xmin, l.restart_lsn, l.confirmed_flush_lsn, l.wal_status, l.safe_wal_size,
    l.two_phase, l.two_phase_at, l.inactive_since, l.conflicting, l.invalidation_reason, l.failover, l.synced
  FROM pg_catalog.pg_get_replication_slots() l LEFT JOIN pg_catalog.pg_database d ON l.datoid = d.oid
    LEFT JOIN pg_catalog.gp_stat_replication r ON r.gp_segment_id = -1 AND l.slot_name = 'internal_wal_replication_slot';
CREATE UNLOGGED TABLE pg_catalog.gp_master_mirroring (
  summary_state text, detail_state text, log_time timestamptz, error_message text);
CREATE UNLOGGED TABLE pg_catalog.gp_segment_status (
  dbid smallint, content smallint, role "char", state text, pid integer, timeline integer, flush_lsn pg_lsn, replay_lsn pg_lsn,
  lag_bytes bigint, lag_seconds double precision, lane_depth integer, rss_bytes bigint, uptime_seconds double precision,
  wal_since_base bigint, base_refreshed_at timestamptz, wal_kept bigint, version text, detail text);
CREATE UNLOGGED TABLE pg_catalog.mirabelle_activity (
  pid integer, usename name, application_name text, client_addr inet, client_port integer, backend_start timestamptz, xact_start timestamptz,
  query_start timestamptz, state_change timestamptz, state text, query text, lanes integer[]);
CREATE VIEW pg_catalog.gp_stat_activity AS
  SELECT d.oid AS datid, d.datname, a.pid, NULL::integer AS leader_pid, r.oid AS usesysid, a.usename,
    CASE WHEN s.may THEN a.application_name END AS application_name, CASE WHEN s.may THEN a.client_addr END AS client_addr,
    NULL::text AS client_hostname, CASE WHEN s.may THEN a.client_port END AS client_port, CASE WHEN s.may THEN a.backend_start END AS backend_start,
    CASE WHEN s.may THEN a.xact_start END AS xact_start, CASE WHEN s.may THEN a.query_start END AS query_start,
    CASE WHEN s.may THEN a.state_change END AS state_change, NULL::text AS wait_event_type, NULL::text AS wait_event,
    CASE WHEN s.may THEN a.state END AS state, NULL::xid AS backend_xid, NULL::xid AS backend_xmin, NULL::bigint AS query_id,
    CASE WHEN s.may THEN a.query ELSE '<insufficient privilege>' END AS query, 'client backend'::text AS backend_type, a.lanes
  FROM pg_catalog.mirabelle_activity a
    LEFT JOIN pg_catalog.pg_roles r ON r.rolname = a.usename
    LEFT JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
    CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.pg_has_role(r.oid, 'USAGE'), false)
      OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS may) s;
CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity AS
  SELECT datid, datname, pid, leader_pid, usesysid, usename, application_name, client_addr, client_hostname, client_port, backend_start, xact_start,
    query_start, state_change, wait_event_type, wait_event, state, backend_xid, backend_xmin, query_id, query, backend_type
  FROM pg_catalog.gp_stat_activity;
CREATE UNLOGGED TABLE pg_catalog.mirabelle_shown_setting (
  name text, setting text, unit text, category text, short_desc text, context text, vartype text, source text, min_val text, max_val text,
  enumvals text[], boot_val text, reset_val text);
CREATE OR REPLACE VIEW pg_catalog.pg_settings AS
  SELECT a.name, a.setting, a.unit, a.category, a.short_desc, a.extra_desc, a.context, a.vartype, a.source, a.min_val, a.max_val, a.enumvals,
    a.boot_val, a.reset_val, a.sourcefile, a.sourceline, a.pending_restart
  FROM pg_catalog.pg_show_all_settings() a WHERE a.name NOT IN (SELECT s.name FROM pg_catalog.mirabelle_shown_setting s)
  UNION ALL
  SELECT s.name, s.setting, s.unit, s.category, s.short_desc, NULL, s.context, s.vartype, s.source, s.min_val, s.max_val, s.enumvals,
    s.boot_val, s.reset_val, NULL, NULL, false
  FROM pg_catalog.mirabelle_shown_setting s;
CREATE OR REPLACE FUNCTION pg_catalog.pg_backend_pid() RETURNS integer LANGUAGE sql STABLE
  AS 'SELECT pg_catalog.current_setting(''mirabelle.pid'')::pg_catalog.int4';
CREATE FUNCTION pg_catalog.gp_request_fts_probe_scan() RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT true';
CREATE FUNCTION pg_catalog.gp_execution_segment() RETURNS integer LANGUAGE sql STABLE
  AS 'SELECT pg_catalog.current_setting(''mirabelle.content'')::pg_catalog.int4';
CREATE FUNCTION pg_catalog.gp_segment_id(anyelement) RETURNS integer LANGUAGE sql STABLE AS 'SELECT pg_catalog.gp_execution_segment()';
CREATE VIEW pg_catalog.gp_id AS
  SELECT 'Mirabelle'::name AS gpname, (-1)::smallint AS numsegments, (-1)::smallint AS dbid, (-1)::smallint AS content;
GRANT SELECT ON pg_catalog.gp_id, pg_catalog.gp_segment_configuration, pg_catalog.gp_configuration_history, pg_catalog.gp_distribution_policy,
  pg_catalog.mirabelle_endpoint, pg_catalog.mirabelle_host, pg_catalog.mirabelle_setting, pg_catalog.mirabelle_cluster,
  pg_catalog.gp_stat_replication, pg_catalog.gp_master_mirroring, pg_catalog.gp_segment_status, pg_catalog.gp_stat_activity TO PUBLIC;
RESET allow_system_table_mods;
`
