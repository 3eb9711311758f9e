/** Hosts of this machine whose agent does not answer: whether it hangs, and what still runs there. */
import { readFile } from 'node:fs/promises'
import { pidFile, readKnownInstances } from '@mirabelle/agent/facts'
import { alive, realDisk } from '@mirabelle/runtime'
import type { HostEntry } from '../folder/cluster-file.ts'
import type { Cluster } from './cluster.ts'

export interface LeftInstance {
  readonly dbid: number
  readonly pid: number
}

/** Pid of the agent of a host when its process is there, whether it answers or not. */
export async function agentProcess(host: HostEntry): Promise<number | undefined> {
  const pid = Number.parseInt(await readOr(pidFile(host.dir), ''), 10)
  if (!(pid > 0) || !alive(pid)) return undefined
  // The number may belong to another process by now. Where there is no /proc, that it is alive must do.
  const commandLine = (await readOr(`/proc/${pid}/cmdline`, host.dir)).split('\0')
  return commandLine.includes(host.dir) ? pid : undefined
}

/** What to do about an agent that is there and does not answer. */
export const hungSentence = (pid: number): string =>
  `its process ${pid} is there and says nothing: end it with "kill -9 ${pid}" (its instances go on) and run this again`

/** Instances of a host that run, found without its agent. */
export async function instancesLeft(cluster: Cluster, host: HostEntry): Promise<readonly LeftInstance[]> {
  const { lockHolder } = await import('@mirabelle/engine')
  const known = await readKnownInstances(realDisk, host.dir).catch(() => []) // a folder that is damaged or gone lists nothing
  const folders = new Map([
    ...cluster.folder.file.rows
      .filter(({ hostname }) => hostname === host.name)
      .map(({ dbid, datadir }) => [datadir, dbid] as const),
    ...known.map(({ assignment }) => [assignment.datadir, assignment.dbid] as const),
  ])
  const found = await Promise.all(
    [...folders].map(async ([datadir, dbid]) => ({ dbid, pid: await lockHolder(datadir) })),
  )
  return found.flatMap(({ dbid, pid }) => (pid === undefined ? [] : [{ dbid, pid }]))
}

async function readOr(path: string, instead: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return instead
  }
}
