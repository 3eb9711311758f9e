/**
 * The way back when an activation has taken the cluster from its coordinator and the standby is lost: an administrator says so, and the old coordinator takes an
 * epoch that is higher than any that was promised. What the standby may have done as coordinator is lost with it.
 */
import { MirabelleError, type Epoch, type SegmentRow } from '@mirabelle/messages'
import type { Hello, Ports } from '@mirabelle/runtime'
import { askOnce } from '../standby/ask-once.ts'
import type { ActivationOptions } from './take-role.ts'
import type { Topology } from './topology.ts'

const ASK_MS = 2_000

export interface ReclaimOptions extends ActivationOptions {
  readonly ports: Ports
  readonly hello: Hello
  readonly setPeer?: ((peer: null) => Promise<void>) | undefined
}

/**
 * Records the return in one durable change: a higher epoch, no standby. Nothing happens when nobody was promised a higher epoch. Rejects with
 * `coordinator.alive` when the standby answers as coordinator. Whoever cannot be asked now and has promised more ends this coordinator later; then it can be reclaimed again.
 */
export async function reclaim(options: ReclaimOptions, topology: Topology): Promise<void> {
  const { ownDbid, ports } = options
  const standby = topology.mirror(-1)
  const [running, resting] = await Promise.all([
    epochsOfInstances(options, topology),
    epochsOfAgents(options, topology),
  ])
  const newest = Math.max(options.promisedEpoch(), ...running, ...resting)
  if (newest <= topology.epoch) return
  const epoch = newest + 1
  await options.promiseEpoch(epoch)
  // The standby is lost: the change must not wait for it.
  await options.setPeer?.(null)
  await topology.change({
    epoch,
    removeDbids: standby === undefined ? [] : [standby.dbid],
    history: [
      {
        dbid: ownDbid,
        description: `coordinator reclaimed: dbid ${ownDbid} acts as coordinator again${standby === undefined ? '' : `, standby dbid ${standby.dbid} was removed`}`,
      },
    ],
  })
  ports.log.warn({ epoch, newest, standby: standby?.dbid }, 'the coordinator was reclaimed')
}

/** What those who answer have promised. */
async function epochsOfInstances(
  { ports, hello, ownDbid }: ReclaimOptions,
  topology: Topology,
): Promise<Epoch[]> {
  const rows = topology.rows().filter(({ dbid }) => dbid !== ownDbid)
  const answers = await Promise.allSettled(
    rows.map(({ endpoint }) => askOnce(ports, hello, endpoint, { type: 'instance.status' }, ASK_MS)),
  )
  return answers.flatMap((answer, i) => {
    if (answer.status === 'rejected') return []
    const { content, dbid } = rows[i] as SegmentRow
    if (content === -1 && ['promoting', 'primary'].includes(answer.value.roleState))
      throw new MirabelleError(
        'coordinator.alive',
        `dbid ${dbid} acts as coordinator (pid ${answer.value.pid}): it is not lost`,
      )
    return [answer.value.epoch]
  })
}

/** What those have promised that do not run. */
async function epochsOfAgents({ ports, hello }: ReclaimOptions, topology: Topology): Promise<Epoch[]> {
  const answers = await Promise.allSettled(
    topology.hosts.map(({ agent }) => askOnce(ports, hello, agent, { type: 'agent.status' }, ASK_MS)),
  )
  const instances = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value.instances : []))
  return instances.flatMap(({ promisedEpoch }) => promisedEpoch ?? [])
}
