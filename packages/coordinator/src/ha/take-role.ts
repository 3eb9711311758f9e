/** How a coordinator begins: the catalog that it finds or fills, and the durable change by which a standby becomes the coordinator. */
import { isMirabelleError, MirabelleError } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { initialCatalogSql } from '../catalog/catalog-sql.ts'
import type { CatalogStore, ClusterSnapshot } from '../catalog/cluster-catalog.ts'
import type { Topology } from './topology.ts'

/** Reads the catalog; that of a new cluster is written first, from `initial`. */
export async function loadOrInitialise(
  store: CatalogStore,
  initial: ClusterSnapshot | undefined,
  runSql: (sql: string) => Promise<unknown>,
): Promise<ClusterSnapshot> {
  try {
    return await store.load()
  } catch (error) {
    if (!isMirabelleError(error, 'datadir.broken') || initial === undefined) throw error
    await runSql(initialCatalogSql(initial))
    return store.load()
  }
}

export interface ActivationOptions {
  readonly ownDbid: number
  readonly promisedEpoch: () => number
  readonly promiseEpoch: (epoch: number) => Promise<void>
}

/** The standby becomes the coordinator: its row takes the role, the old coordinator's row goes, the epoch rises. One durable change. */
export async function recordActivation(options: ActivationOptions, topology: Topology): Promise<void> {
  const own = topology.row(options.ownDbid)
  if (own === undefined) throw new MirabelleError('internal', `dbid ${options.ownDbid} is not in the catalog`)
  const old = topology.primary(-1)
  const epoch = Math.max(topology.epoch, options.promisedEpoch()) + 1
  await options.promiseEpoch(epoch)
  if (faults !== undefined) await faults.at('activation.epoch')
  await topology.change({
    epoch,
    removeDbids: old === undefined ? [] : [old.dbid],
    replaceRows: [{ ...own, role: 'p', preferredRole: 'p', mode: 's', status: 'u' }],
    history: [
      {
        dbid: own.dbid,
        description: `standby activate: dbid ${own.dbid} acts as coordinator${old === undefined ? '' : `, dbid ${old.dbid} was removed`}`,
      },
    ],
  })
  if (faults !== undefined) await faults.at('activation.recorded')
}
