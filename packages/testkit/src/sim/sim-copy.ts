/**
 * Stand-in for the block-wise copy: after a while the WAL of the primary is there, durable, and what was there before is gone. The real copy has its own
 * tests on real files; here it only has to be slow, to fail when the primary goes, and to leave what a base backup leaves: a torn base, on which nothing may
 * start, when it is cut short.
 */
import { pgdataDir, pgWalDir, receivedWalDir, type CopyFromPeer } from '@mirabelle/instance'
import { MirabelleError, type Dbid } from '@mirabelle/messages'
import { controlFile, sourceOf, writeCopy, writeLabel } from './sim-base.ts'
import type { InstancePlace, RunningInstance, SimCluster } from './sim-cluster.ts'
import type { SimProcess } from './sim-process.ts'

const COPY_MS = [200, 1_500] as const

/** Its presence says that the base is a part of two: no PostgreSQL could be started on it. */
export const tornBaseFile = (datadir: string): string => `${pgdataDir(datadir)}/torn`

/** PostgreSQL could be started on what lies there. */
export function hasWholeBase(cluster: SimCluster, { hostname, datadir }: InstancePlace): boolean {
  const { files } = cluster.host(hostname)
  return (
    files.file(controlFile(pgdataDir(datadir))) !== undefined &&
    files.file(tornBaseFile(datadir)) === undefined
  )
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
    const { source, timeline, lsn } = sourceOf(process, running, upstream.dbid)
    const pgdata = pgdataDir(datadir)
    for (const folder of [receivedWalDir(datadir), pgdata]) {
      for (const { name } of host.files.isFolder(folder) ? host.files.list(folder) : [])
        if (`${folder}/${name}` !== tornBaseFile(datadir)) host.files.remove(`${folder}/${name}`)
      host.files.makeFolder(folder)
    }
    const history = writeCopy(source, timeline, lsn, host.files, pgWalDir(datadir))
    const control = source.process.host.files.file(controlFile(pgdataDir(source.assignment.datadir)))
    writeLabel(host.files, pgdata, { timeline, startLsn: lsn, endLsn: lsn })
    if (control !== undefined) host.files.place(controlFile(pgdata), control.content.slice())
    host.files.remove(tornBaseFile(datadir))
    return { timeline, history, startLsn: lsn }
  }
}
