/** Where the instances are of which an action says how it went. */
import type { ActionResult, InstanceStateRow } from '@mirabelle/messages'
import type { Cluster } from './cluster.ts'
import { stateFromCoordinator } from './state-of.ts'

export type Place = Pick<InstanceStateRow, 'dbid' | 'host' | 'port'>

/** The description of the cluster knows, unless an instance was made from elsewhere: then the coordinator is asked. */
export async function placesOf(
  cluster: Cluster,
  results: readonly ActionResult[],
): Promise<readonly Place[]> {
  const places = cluster.folder.file.rows.map(({ dbid, hostname, port }) => ({ dbid, host: hostname, port }))
  const isKnown = results.every(({ dbid }) => places.some((place) => place.dbid === dbid))
  return isKnown ? places : ((await stateFromCoordinator(cluster))?.instances ?? [])
}
