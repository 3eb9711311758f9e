/**
 * The base of a simulated instance. What a base backup of PostgreSQL holds of transactions is here WAL up to where replay begins, in a folder that nobody but the stand-in engine
 * knows; the WAL behind it lies where an instance keeps it, and must not go while the base needs it.
 */
import { EngineDied } from '@mirabelle/engine'
import { nextBaseDir, pgdataDir, pgWalDir, receivedWalDir, type BuildBase } from '@mirabelle/instance'
import { MirabelleError, type Dbid, type HistoryEntry, type Lsn, type Timeline } from '@mirabelle/messages'
import { historyFileName } from '@mirabelle/wal'
import type { RunningInstance } from './sim-cluster.ts'
import type { SimFiles } from './sim-files.ts'
import type { SimHost } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'
import {
  FIRST_LSN,
  readHistory,
  readIdentifier,
  recoverWal,
  strayWal,
  walBytes,
  writeWal,
} from './sim-wal.ts'
import { SIM_SEGMENT_BYTES } from './sim-wal-paths.ts'

const BUILD_MS = [50, 900] as const

/** Where WAL is replayed from, and up to where it has to be before the base is consistent. */
interface BaseLabel {
  readonly timeline: Timeline
  readonly startLsn: Lsn
  readonly endLsn: Lsn
}

export const controlFile = (pgdata: string): string => `${pgdata}/global/pg_control`
const labelFile = (pgdata: string): string => `${pgdata}/backup_label`
const dataDir = (pgdata: string): string => `${pgdata}/data`

/** All folders in which the stand-in engine of an instance finds WAL. */
export function walFoldersOf(datadir: string): readonly string[] {
  let folders = walFolders.get(datadir)
  if (folders === undefined) {
    folders = [receivedWalDir(datadir), pgWalDir(datadir), dataDir(pgdataDir(datadir))]
    walFolders.set(datadir, folders)
  }
  return folders
}

/** They are asked for at every answer. */
const walFolders = new Map<string, readonly string[]>()

/** PostgreSQL finds what it needs to start in `D/pgdata`. */
export function hasDatabase(files: SimFiles, datadir: string): boolean {
  return files.isFolder(pgWalDir(datadir)) && files.file(controlFile(pgdataDir(datadir))) !== undefined
}

/** The system identifier in the control file. Throws when that is not there. */
export function identifierOf(files: SimFiles, datadir: string): bigint {
  const control = files.file(controlFile(pgdataDir(datadir)))
  if (control === undefined) throw new EngineDied('PANIC: could not open file "global/pg_control"')
  return readIdentifier(control.content)
}

/** What the base in `D/pgdata` says of itself. One that was laid out with the cluster begins where WAL does. */
export function labelOf(files: SimFiles, datadir: string): BaseLabel {
  const file = files.file(labelFile(pgdataDir(datadir)))
  if (file === undefined) return { timeline: 1, startLsn: FIRST_LSN, endLsn: FIRST_LSN }
  return JSON.parse(new TextDecoder().decode(file.content)) as BaseLabel
}

/**
 * Why replay on the base in `D/pgdata` cannot lead to what was received and acknowledged up to `receivedEnd`, in words; undefined when it can. A disk that has lied may have lost
 * what the base was made good by.
 */
export function wrongWithBase(
  { files, hasLied }: SimHost,
  datadir: string,
  timeline: Timeline,
  receivedEnd: Lsn,
): string | undefined {
  const folders = walFoldersOf(datadir)
  const stray = strayWal(files, pgWalDir(datadir), folders, timeline)
  if (stray !== undefined) return `replays on a base that has ${stray}`
  if (hasLied) return undefined
  const { startLsn, endLsn } = labelOf(files, datadir)
  if (endLsn > receivedEnd)
    return `replays on a base whose backup ended at ${endLsn}, and WAL has come only up to ${receivedEnd}`
  // What was received may be the beginning of a segment that the base has whole.
  const ends = [folders, folders.slice(1)].map((some) => recoverWal(files, some, timeline, receivedEnd).end)
  return Math.max(...ends) < receivedEnd
    ? `replays on a base that needs WAL from ${startLsn} to ${receivedEnd}, of which all behind ${Math.max(...ends)} is gone`
    : undefined
}

/** A primary that can be copied from now, and where its WAL ends. Throws `connection.lost`. */
export function sourceOf(
  process: SimProcess,
  running: ReadonlyMap<Dbid, RunningInstance>,
  dbid: Dbid,
): { readonly source: RunningInstance; readonly timeline: Timeline; readonly lsn: Lsn } {
  const source = running.get(dbid)
  const position = source?.instance.roleState === 'primary' ? source.engine.position : undefined
  const { host } = process
  if (
    source === undefined ||
    position === undefined ||
    source.process.paused ||
    !host.fabric.reaches(source.process.host, host) ||
    !host.fabric.reaches(host, source.process.host)
  )
    throw new MirabelleError('connection.lost', `dbid ${dbid} cannot be copied from now`)
  return { source, timeline: position.timeline, lsn: position.lsn }
}

/** Writes what a primary has of WAL up to `lsn`, and the histories, into a folder, durably. Returns the history of its timeline. Throws `wal.removed`. */
export function writeCopy(
  from: RunningInstance,
  timeline: Timeline,
  lsn: Lsn,
  files: SimFiles,
  folder: string,
): readonly HistoryEntry[] {
  const source = from.process.host.files
  const folders = walFoldersOf(from.assignment.datadir)
  const bytes = walBytes(source, folders, timeline, FIRST_LSN, lsn, false)
  const history = readHistory(source, folders, timeline)
  if (bytes === undefined) throw new MirabelleError('wal.removed', `dbid ${from.assignment.dbid} lacks WAL`)
  files.makeFolder(folder)
  let begin = FIRST_LSN
  for (const span of [...history, { timeline, end: lsn }]) {
    const start = begin - (begin % SIM_SEGMENT_BYTES)
    if (span.end > start)
      writeWal(files, folder, span.timeline, start, bytes.slice(start - FIRST_LSN, span.end - FIRST_LSN))
    begin = span.end
  }
  const followed = [...history.slice(1).map((one) => one.timeline), ...(history.length > 0 ? [timeline] : [])]
  for (const one of followed) {
    const name = historyFileName(one)
    const file = folders.map((each) => source.file(`${each}/${name}`)).find((each) => each !== undefined)
    if (file !== undefined) files.place(`${folder}/${name}`, file.content.slice())
  }
  for (const { name } of files.list(folder)) {
    const file = files.file(`${folder}/${name}`)
    file?.snapshot()()
    if (file !== undefined) file.isNamed = true
  }
  return history
}

/** The label of a base in `pgdata`: without a control file PostgreSQL does not start on it. */
export function writeLabel(files: SimFiles, pgdata: string, label: BaseLabel): void {
  files.place(labelFile(pgdata), new TextEncoder().encode(JSON.stringify(label)))
}

/** The stand-in for the comparison of blocks by which a mirror makes a new base beside its own: what it holds is that of the primary when it began. */
export function simBuildBase(process: SimProcess, running: ReadonlyMap<Dbid, RunningInstance>): BuildBase {
  return async ({ ports, datadir, upstream, signal }) => {
    const { disk } = ports
    const { world, host } = process
    const next = nextBaseDir(datadir)
    await disk.remove(next)
    const begun = sourceOf(process, running, upstream.dbid)
    world.trace.add(process.name, `a base from dbid ${upstream.dbid} is begun at ${begun.lsn}`)
    for (const folder of ['global', 'pg_wal']) host.files.makeFolder(`${next}/${folder}`)
    await new Promise<void>((resolve) => void process.schedule(world.random.between(...BUILD_MS), resolve))
    signal.throwIfAborted()
    const ended = sourceOf(process, running, upstream.dbid)
    if (ended.source !== begun.source || ended.timeline !== begun.timeline)
      throw new MirabelleError('not.ready', `dbid ${upstream.dbid} is another one than when the backup began`)
    const { source, timeline, lsn: startLsn } = begun
    const label = { timeline, startLsn, endLsn: ended.lsn }
    writeCopy(source, timeline, startLsn, host.files, dataDir(next))
    writeLabel(host.files, next, label)
    await keepHistory(ports.disk, host.files, { datadir, timeline, data: dataDir(next) })
    const control = source.process.host.files.file(controlFile(pgdataDir(source.assignment.datadir)))
    // Written last, as the real one is: with it the base counts as whole.
    await disk.writeFileDurable(controlFile(next), control?.content ?? new Uint8Array(0))
    return { ...label, bytesTotal: startLsn, bytesFetched: startLsn }
  }
}

/** The new base has no WAL folder of its own to find the history in. */
async function keepHistory(
  disk: Parameters<BuildBase>[0]['ports']['disk'],
  files: SimFiles,
  { datadir, timeline, data }: { datadir: string; timeline: Timeline; data: string },
): Promise<void> {
  const name = historyFileName(timeline)
  const path = `${receivedWalDir(datadir)}/${name}`
  const file = files.file(`${data}/${name}`)
  if (file !== undefined && !(await disk.exists(path)))
    await disk.writeFileDurable(path, file.content.slice())
}
