/**
 * What belongs into a copy of a running primary's data directory (an online base backup), and what does not.
 *
 * The caller runs `SELECT pg_backup_start('label', true)`, copies the files listed here while statements run, runs `SELECT labelfile
 * FROM pg_backup_stop(false)`, writes the label beside the copied files with `writeBackupLabel`, and starts a mirror on them: it
 * becomes consistent once it has replayed the WAL up to the stop.
 */
import { lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from './template/copy-tree.ts'

/** A file or folder of a data directory. */
export interface BackupEntry {
  /** Path below pgdata, with forward slashes. */
  readonly path: string
  readonly kind: 'file' | 'folder'
  /** Size when it was listed, in bytes; 0 for folders. */
  readonly bytes: number
}

/** Folders that are needed but whose content is not: WAL comes by streaming, the rest PostgreSQL makes anew at each start. */
const EMPTIED = new Set([
  'pg_wal',
  'pg_wal/archive_status',
  'pg_wal/summaries',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_replslot',
])
const KEPT_INSIDE_EMPTIED = new Set(['pg_wal/archive_status', 'pg_wal/summaries'])
const SKIPPED_FILES = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'recovery.signal',
  'standby.signal',
  'backup_label',
  'backup_label.old',
  'tablespace_map',
  'tablespace_map.old',
  'pg_internal.init',
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
])

/** True when the file at `path` (below pgdata) belongs into a copy. */
export function belongsInBackup(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (SKIPPED_FILES.has(name) || /(^|\/)pgsql_tmp/.test(path)) return false
  return ![...EMPTIED].some((folder) => path.startsWith(`${folder}/`)) || KEPT_INSIDE_EMPTIED.has(path)
}

/**
 * Lists what to copy of `pgdata`, folders before what is in them. `global/pg_control` comes last: it must be copied last, so that
 * it is never older than a page that was copied. Files that vanish meanwhile (dropped tables) are left out.
 */
export async function listBackup(pgdata: string): Promise<BackupEntry[]> {
  const entries: BackupEntry[] = []
  await walk(pgdata, '', entries)
  return backupOf(entries)
}

/** What belongs into a copy of all that is below `pgdata`, the control file last. */
export function backupOf(all: readonly BackupEntry[]): BackupEntry[] {
  const entries = all.filter(({ path }) => belongsInBackup(path))
  const control = entries.findIndex((entry) => entry.path === 'global/pg_control')
  if (control !== -1) entries.push(...entries.splice(control, 1))
  return entries
}

/** Writes the label that `pg_backup_stop` gave, durably. It makes recovery begin where the backup began. */
export async function writeBackupLabel(pgdata: string, label: string): Promise<void> {
  const handle = await open(join(pgdata, 'backup_label'), 'w', 0o600)
  try {
    await handle.writeFile(label)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await syncFolder(pgdata)
}

async function walk(pgdata: string, below: string, entries: BackupEntry[]): Promise<void> {
  for (const entry of await readdir(join(pgdata, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (!belongsInBackup(path)) continue
    if (entry.isDirectory()) {
      entries.push({ path, kind: 'folder', bytes: 0 })
      await walk(pgdata, path, entries)
    } else if (entry.isFile()) {
      const bytes = await sizeOf(join(pgdata, path))
      if (bytes !== undefined) entries.push({ path, kind: 'file', bytes })
    }
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
