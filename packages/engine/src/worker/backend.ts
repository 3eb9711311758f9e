/** Starts PostgreSQL inside the worker: its parameters and settings for each role. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import type { InstancePaths } from '../layout.ts'
import type { WorkerData } from '../shared/worker-protocol.ts'
import type { DurableFs } from './durable-fs.ts'
import { RESTORE_COMMAND } from './restore-wal.ts'

/** What every backend of ours runs with; `docs/settings` of the design says why. */
const SETTINGS = [
  'fsync=on',
  'full_page_writes=on',
  'synchronous_commit=on',
  'wal_sync_method=fsync',
  'wal_level=replica',
  'max_prepared_transactions=64',
  'max_replication_slots=10',
  'max_wal_senders=10',
  'shared_buffers=16MB',
  'log_checkpoints=off',
  // Its last lines go into the error when it dies, and from there into our log: statements, and the passwords in them, do not.
  'log_min_error_statement=panic',
]
const MIRROR_SETTINGS = [
  // Not `on`: with one process it fails ("sinval slot already in use"), and nobody can connect to a mirror anyway.
  'hot_standby=off',
  RESTORE_COMMAND,
  'recovery_target_timeline=latest',
  // It would read on until WAL ends, and wait there for more with all that it has read but not replayed: tens of KB after a checkpoint.
  'recovery_prefetch=off',
]

/** Parameters of PGlite that are not ours: fsync off, and changing system tables, which only the template's maker may. */
const DROPPED = new Set(['-F', '-O'])

/** Start parameters for PostgreSQL, `settings` last so that they win. */
export function startParams(role: 'primary' | 'mirror', settings: readonly string[]): string[] {
  const params = PGlite.defaultStartParams.filter((one) => !DROPPED.has(one))
  for (const setting of [...SETTINGS, ...(role === 'mirror' ? MIRROR_SETTINGS : []), ...settings])
    params.push('-c', setting)
  return params
}

/** Starts the backend. For a mirror the promise settles only after promotion (or failure). */
export async function startBackend(
  paths: InstancePaths,
  fs: DurableFs,
  start: Pick<WorkerData, 'role' | 'settings' | 'wasm'>,
  log: (line: string) => void,
): Promise<PGlite> {
  const { role, settings, wasm } = start
  if (role === 'mirror') writeFileSync(join(paths.pgdata, 'recovery.signal'), '', { flush: true })
  // Left behind by a killed process. The folder's lock already says that nobody else runs here.
  rmSync(join(paths.pgdata, 'postmaster.pid'), { force: true })
  const keep = (line: string): boolean => {
    log(line)
    return false
  }
  const options = {
    fs,
    startParams: startParams(role, settings),
    onStdout: keep,
    onStderr: keep,
    pgliteWasmModule: wasm,
  }
  const pg = new Backend(options)
  await pg.waitReady
  return pg
}

/** PGlite without what it asks of a backend for its own query interface, which nobody uses here: that costs a promotion its first query. */
class Backend extends PGlite {
  override _initArrayTypes(): Promise<void> {
    return Promise.resolve()
  }
}
