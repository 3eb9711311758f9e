/** The SQL texts of the catalog: what `init` writes into a new coordinator and what later changes write. */
import type { SegmentRow } from '@mirabelle/messages'
import type { CatalogChange, ClusterSnapshot } from './cluster-catalog.ts'

/** A text as an SQL literal. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

function textArray(texts: readonly string[]): string {
  return texts.length === 0 ? `'{}'::text[]` : `ARRAY[${texts.map(literal).join(',')}]::text[]`
}

function insertRow(row: SegmentRow): string[] {
  return [
    `INSERT INTO pg_catalog.gp_segment_configuration VALUES (${row.dbid},${row.content},'${row.role}','${row.preferredRole}','${row.mode}','${row.status}',${row.port},${literal(row.hostname)},${literal(row.address)},${literal(row.datadir)})`,
    `INSERT INTO pg_catalog.mirabelle_endpoint VALUES (${row.dbid},${textArray(row.endpoint.addresses)},${row.endpoint.port})`,
  ]
}

function deleteRow(dbid: number): string[] {
  return [
    `DELETE FROM pg_catalog.gp_segment_configuration WHERE dbid = ${dbid}`,
    `DELETE FROM pg_catalog.mirabelle_endpoint WHERE dbid = ${dbid}`,
  ]
}

function keep(key: string, value: string): string[] {
  return [
    `DELETE FROM pg_catalog.mirabelle_cluster WHERE key = '${key}'`,
    `INSERT INTO pg_catalog.mirabelle_cluster VALUES ('${key}','${value}')`,
  ]
}

/** Fills the empty catalog of a new cluster. */
export function initialCatalogSql(snapshot: ClusterSnapshot): string {
  const statements = [
    ...snapshot.rows.flatMap(insertRow),
    ...snapshot.hosts.map(
      (host) =>
        `INSERT INTO pg_catalog.mirabelle_host VALUES (${literal(host.hostname)},${textArray(host.agent.addresses)},${host.agent.port})`,
    ),
    ...Object.entries(snapshot.settings).map(
      ([name, value]) =>
        `INSERT INTO pg_catalog.mirabelle_setting VALUES (${literal(name)},${literal(value)})`,
    ),
    `INSERT INTO pg_catalog.mirabelle_cluster VALUES ('cluster_id',${literal(snapshot.clusterId)}),('epoch','${snapshot.epoch}'),('mirroring','${snapshot.mirroring}')`,
  ]
  return atomically(statements)
}

/** One transaction that makes the change. */
export function changeSql(change: CatalogChange): string {
  const statements: string[] = []
  for (const row of change.rows ?? []) {
    statements.push(
      `UPDATE pg_catalog.gp_segment_configuration SET role = '${row.role}', mode = '${row.mode}', status = '${row.status}' WHERE dbid = ${row.dbid}`,
    )
  }
  for (const dbid of change.removeDbids ?? []) statements.push(...deleteRow(dbid))
  for (const row of change.replaceRows ?? []) statements.push(...deleteRow(row.dbid), ...insertRow(row))
  if (change.epoch !== undefined)
    statements.push(`UPDATE pg_catalog.mirabelle_cluster SET value = '${change.epoch}' WHERE key = 'epoch'`)
  if (change.settingsVersion !== undefined)
    statements.push(
      `DELETE FROM pg_catalog.mirabelle_cluster WHERE key = 'settings_version'`,
      `INSERT INTO pg_catalog.mirabelle_cluster VALUES ('settings_version','${change.settingsVersion}')`,
    )
  if (change.lastDbid !== undefined) statements.push(...keep('last_dbid', String(change.lastDbid)))
  if (change.mirroring !== undefined) statements.push(...keep('mirroring', change.mirroring))
  for (const [name, value] of Object.entries(change.settings ?? {})) {
    statements.push(`DELETE FROM pg_catalog.mirabelle_setting WHERE name = ${literal(name)}`)
    if (value !== null)
      statements.push(`INSERT INTO pg_catalog.mirabelle_setting VALUES (${literal(name)},${literal(value)})`)
  }
  for (const row of change.history ?? []) {
    statements.push(
      `INSERT INTO pg_catalog.gp_configuration_history VALUES (clock_timestamp(),${row.dbid},${literal(row.description)})`,
    )
  }
  return atomically(statements)
}

/** Several statements of one simple query are one transaction. An explicit BEGIN would stay open when one of them fails. */
function atomically(statements: readonly string[]): string {
  return statements.join('; ')
}

/** Reads the whole snapshot as one JSON text. */
export const loadSnapshotSql = `SELECT json_build_object(
  'cluster', (SELECT json_object_agg(key, value) FROM pg_catalog.mirabelle_cluster),
  'rows', (SELECT coalesce(json_agg(json_build_object('dbid', c.dbid, 'content', c.content, 'role', c.role, 'preferredRole', c.preferred_role,
     'mode', c.mode, 'status', c.status, 'port', c.port, 'hostname', c.hostname, 'address', c.address, 'datadir', c.datadir,
     'endpoint', json_build_object('addresses', e.addresses, 'port', e.port)) ORDER BY c.dbid), '[]')
     FROM pg_catalog.gp_segment_configuration c JOIN pg_catalog.mirabelle_endpoint e USING (dbid)),
  'hosts', (SELECT coalesce(json_agg(json_build_object('hostname', hostname, 'agent', json_build_object('addresses', addresses, 'port', agent_port))
     ORDER BY hostname), '[]') FROM pg_catalog.mirabelle_host),
  'settings', (SELECT coalesce(json_object_agg(name, value), '{}') FROM pg_catalog.mirabelle_setting))`
