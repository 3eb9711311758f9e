/** Reads the parts of PostgreSQL's `global/pg_control` that decide how a data directory can be started. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isLsn, parseLsn, type Lsn, type Timeline } from '@mirabelle/messages'
import { EngineRefused } from './errors.ts'

/** PostgreSQL 18's format; another one has other offsets. */
const CONTROL_VERSION = 1800
const OFFSET = { systemIdentifier: 0, version: 8, state: 16, checkpoint: 32, redo: 40, timeline: 48 } as const
const LENGTH = 52
/** DBState, in PostgreSQL's order. */
const STATES = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
] as const

/** What pg_control says. */
export interface ControlFile {
  /** Decimal, as `pg_control_system()` shows it. The same for all clones of one template. */
  readonly systemIdentifier: string
  readonly state: (typeof STATES)[number]
  /** Where the last checkpoint record is. */
  readonly checkpoint: Lsn
  /** Where recovery would begin. */
  readonly redo: Lsn
  /** Timeline of the last checkpoint. */
  readonly timeline: Timeline
}

/** Reads `pgdata`/global/pg_control. Throws EngineRefused when it is not PostgreSQL 18's. */
export async function readControlFile(pgdata: string): Promise<ControlFile> {
  const path = join(pgdata, 'global', 'pg_control')
  return parseControlFile(path, await readFile(path))
}

/** What the bytes of a control file say; `path` names it in errors. Throws EngineRefused. */
export function parseControlFile(path: string, content: Uint8Array): ControlFile {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  const version = bytes.length >= LENGTH ? bytes.readUInt32LE(OFFSET.version) : 0
  const state = version === CONTROL_VERSION ? STATES[bytes.readUInt32LE(OFFSET.state)] : undefined
  if (state === undefined) {
    throw new EngineRefused(
      `${path} is not a control file of PostgreSQL 18 (version ${version}, expected ${CONTROL_VERSION})`,
    )
  }
  const control = {
    systemIdentifier: bytes.readBigUInt64LE(OFFSET.systemIdentifier).toString(),
    state,
    checkpoint: Number(bytes.readBigUInt64LE(OFFSET.checkpoint)),
    redo: Number(bytes.readBigUInt64LE(OFFSET.redo)),
    timeline: bytes.readUInt32LE(OFFSET.timeline),
  }
  if (!isLsn(control.checkpoint) || !isLsn(control.redo) || control.timeline < 1)
    throw new EngineRefused(
      `${path} is damaged: it has its checkpoint at ${control.checkpoint} on timeline ${control.timeline}, redo at ${control.redo}`,
    )
  return control
}

/** Where the last checkpoint record is that these bytes, the beginning of a control file, name; undefined when they do not reach so far. */
export function checkpointIn(bytes: Uint8Array): bigint | undefined {
  if (bytes.byteLength < OFFSET.checkpoint + 8) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(OFFSET.checkpoint, true)
}

/** What a base says of itself: where replay of it begins, and on which timeline its last checkpoint is. */
export interface BaseStart {
  readonly control: ControlFile
  /** A backup label is there: the base is a copy on which PostgreSQL has not run yet. */
  readonly isCopy: boolean
  /** WAL is needed from here on. */
  readonly startLsn: Lsn
}

/** Reads where the base in `pgdata` begins: its label says it, or else its control file. Throws EngineRefused for a label that says nothing. */
export async function readBaseStart(pgdata: string): Promise<BaseStart> {
  const control = await readControlFile(pgdata)
  const path = join(pgdata, 'backup_label')
  const label = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
  if (label === undefined) return { control, isCopy: false, startLsn: control.redo }
  return { control, isCopy: true, startLsn: parseBackupLabel(path, label) }
}

/** Where WAL is needed from, as the text of a backup label says. Throws EngineRefused. */
export function parseBackupLabel(path: string, label: string): Lsn {
  const start = /^START WAL LOCATION: ([0-9A-F]+\/[0-9A-F]+) /m.exec(label)?.[1]
  try {
    if (start !== undefined) return parseLsn(start)
  } catch (error) {
    throw new EngineRefused(`${path} says that the backup began at ${start}: ${(error as Error).message}`)
  }
  throw new EngineRefused(`${path} does not say where the backup began`)
}
