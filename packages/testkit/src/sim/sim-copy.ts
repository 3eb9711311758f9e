/**
 * Stand-in for the block-wise copy: after a while the WAL of the primary is there, durable, and what was there before is gone. The real copy has its own
 * tests on real files; here it only has to be slow, to fail when the primary goes, and to leave what a base backup leaves: a torn base, on which nothing may
 * start, when it is cut short.
 */
import { pgdataDir, pgWalDir, receivedWalDir, type CopyFromPeer } from '@mirabelle/instance'
import { MirabelleError, type Dbid } from '@mirabelle/messages'
import { historyFileName } from '@mirabelle/wal'
import type { InstancePlace, RunningInstance, SimCluster } from './sim-cluster.ts'
import type { SimProcess } from './sim-process.ts'
import { recoverWal, SIM_SEGMENT_BYTES, walBytes, writeWal, FIRST_LSN } from './sim-wal.ts'

const controlFile = (datadir: string): string => `${pgdataDir(datadir)}/global/pg_control`
const COPY_MS = [200, 1_500] as const

/** Its presence says that the base is a part of two: no PostgreSQL could be started on it. */
export const tornBaseFile = (datadir: string): string => `${pgdataDir(datadir)}/torn`

/** PostgreSQL could be started on what lies there. */
export function hasWholeBase(cluster: SimCluster, { hostname, datadir }: InstancePlace): boolean {
  const { files } = cluster.host(hostname)
  return files.file(controlFile(datadir)) !== undefined && files.file(tornBaseFile(datadir)) === undefined
}

export function simCopyFromPeer(
  process: SimProcess,
  running: ReadonlyMap<Dbid, RunningInstance>,
): CopyFromPeer {
  return async (mode, { datadir, upstream, signal }) => {
    const { world, host } = process
    world.trace.add(process.name, `${mode} copy from dbid ${upstream.dbid} begins`)
    host.files.place(tornBaseFile(datadir), new Uint8Array(1))
    await new Promise<void>((resolve) => void process.schedule(world.random.between(...COPY_MS), resolve))
    if (signal.aborted) throw new MirabelleError('cancelled', 'the copy was stopped')
    const source = running.get(upstream.dbid)
    const position = source?.instance.roleState === 'primary' ? source.engine.position : undefined
    if (
      source === undefined ||
      position === undefined ||
      source.process.paused ||
      !process.host.fabric.reaches(source.process.host, host) ||
      !process.host.fabric.reaches(host, source.process.host)
    )
      throw new MirabelleError('connection.lost', `dbid ${upstream.dbid} cannot be copied from now`)
    const folders = [pgWalDir(source.assignment.datadir), receivedWalDir(source.assignment.datadir)]
    const { timeline, lsn } = position
    const from = source.process.host.files
    const bytes = walBytes(from, folders, timeline, FIRST_LSN, lsn, false)
    const { history } = recoverWal(from, folders, timeline, lsn)
    if (bytes === undefined) throw new MirabelleError('wal.removed', `dbid ${upstream.dbid} lacks WAL`)
    for (const folder of [receivedWalDir(datadir), pgWalDir(datadir)]) {
      host.files.remove(folder)
      host.files.makeFolder(folder)
    }
    const folder = pgWalDir(datadir)
    const spans = [...history, { timeline, end: lsn }]
    let begin = FIRST_LSN
    for (const span of spans) {
      const start = begin - (begin % SIM_SEGMENT_BYTES)
      if (span.end > start)
        writeWal(
          host.files,
          folder,
          span.timeline,
          start,
          bytes.slice(start - FIRST_LSN, span.end - FIRST_LSN),
        )
      begin = span.end
    }
    for (const entry of [
      ...history.slice(1).map((one) => one.timeline),
      ...(history.length > 0 ? [timeline] : []),
    ]) {
      const file =
        from.file(`${folders[0]}/${historyFileName(entry)}`) ??
        from.file(`${folders[1]}/${historyFileName(entry)}`)
      if (file !== undefined) host.files.place(`${folder}/${historyFileName(entry)}`, file.content.slice())
    }
    for (const { name } of host.files.list(folder)) {
      const file = host.files.file(`${folder}/${name}`)
      file?.snapshot()()
      if (file !== undefined) file.isNamed = true
    }
    const control = from.file(controlFile(source.assignment.datadir))
    if (control !== undefined) host.files.place(controlFile(datadir), control.content.slice())
    host.files.remove(tornBaseFile(datadir))
    return { timeline, history, startLsn: lsn }
  }
}
