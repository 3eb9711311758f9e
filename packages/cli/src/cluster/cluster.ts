/** What every operation on a cluster works with. */
import { realClock, type Clock } from '@mirabelle/runtime'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import type { Reporter } from '../terminal/reporter.ts'
import { Control } from './control.ts'

export interface Cluster {
  readonly folder: ClusterFolder
  readonly control: Control
  readonly clock: Clock
  readonly reporter: Reporter
}

/** Opens the complete cluster in a folder. Throws CliError when there is none. */
export async function openCluster(dir: string, reporter: Reporter): Promise<Cluster> {
  return withFolder(await ClusterFolder.openReady(dir), reporter)
}

export async function withFolder(folder: ClusterFolder, reporter: Reporter): Promise<Cluster> {
  return { folder, control: Control.of(folder), clock: realClock, reporter }
}
