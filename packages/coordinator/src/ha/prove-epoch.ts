/**
 * A coordinator takes the promises of its segments, and one that nobody asked to start (its host was started anew) proves that no other one rules:
 * most of the segments must obey no higher epoch. Those that do not run are known to their agents.
 */
import { isMirabelleError, MirabelleError, type Epoch, type SegmentRow } from '@mirabelle/messages'
import { delay } from '@mirabelle/runtime'
import { promiseQuorum } from '../standby/quorum.ts'
import type { AdminSources } from './admin-sources.ts'

const PROMISE_TIMEOUT_MS = 1_000
const AGENT_TIMEOUT_MS = 2_000
const AGAIN_MS = 500

/** All instances that can be reached promise the epoch. Rejects with `epoch.stale` when one obeys a higher one. Resolves with those that have promised. */
export async function takePromises(sources: AdminSources): Promise<Set<number>> {
  const { topology, links, log, ownDbid } = sources
  const rows = topology.rows().filter((row) => row.dbid !== ownDbid && row.status === 'u')
  const answers = await Promise.allSettled(
    rows.map((row) =>
      links
        .instance(row)
        .request(
          { type: 'epoch.promise', dbid: row.dbid, content: row.content, epoch: topology.epoch },
          PROMISE_TIMEOUT_MS,
        ),
    ),
  )
  const promised = new Set<number>()
  answers.forEach((answer, i) => {
    const row = rows[i] as SegmentRow
    if (answer.status === 'fulfilled') {
      promised.add(row.dbid)
      return
    }
    if (isMirabelleError(answer.reason, 'epoch.stale')) throw replaced(row.dbid, topology.epoch)
    log.info(
      { dbid: row.dbid, content: row.content },
      `no promise of epoch ${topology.epoch} yet: ${String(answer.reason)}`,
    )
  })
  return promised
}

/** Resolves when it is certain; rejects with `epoch.stale` when this coordinator has been replaced. Waits as long as too few hosts can be asked. */
export async function proveEpoch(sources: AdminSources, closed: () => boolean): Promise<void> {
  const { topology, clock, log } = sources
  const segments = topology.rows().filter((row) => row.content >= 0)
  const needed = promiseQuorum(segments.length)
  let said = -1
  while (!closed()) {
    const known = await takePromises(sources)
    for (const dbid of await knownToAgents(sources)) known.add(dbid)
    const count = segments.filter(({ dbid }) => known.has(dbid)).length
    if (count >= needed) {
      log.info({ count, of: segments.length, epoch: topology.epoch }, 'no other coordinator rules')
      return
    }
    if (count !== said)
      log.warn(
        { count, needed, epoch: topology.epoch },
        'this coordinator was started by the agent of its host and waits until enough segments show that no other one rules',
      )
    said = count
    await delay(clock, AGAIN_MS)
  }
}

/** Instances that do not run: what they have promised lies in their folders. */
async function knownToAgents({ topology, links, ownDbid }: AdminSources): Promise<number[]> {
  const answers = await Promise.allSettled(
    topology.hosts.map(({ hostname }) =>
      links.agent(hostname).request({ type: 'agent.status' }, AGENT_TIMEOUT_MS),
    ),
  )
  const instances = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value.instances : []))
  const others = instances.filter(({ dbid }) => dbid !== ownDbid)
  const newer = others.find(({ promisedEpoch }) => (promisedEpoch ?? 0) > topology.epoch)
  if (newer !== undefined) throw replaced(newer.dbid, topology.epoch)
  return others.map(({ dbid }) => dbid)
}

function replaced(dbid: number, epoch: Epoch): MirabelleError {
  return new MirabelleError(
    'epoch.stale',
    `Standby activated, this node no more can act as coordinator: dbid ${dbid} obeys a higher epoch than ${epoch}`,
  )
}
