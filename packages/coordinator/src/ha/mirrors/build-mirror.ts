/**
 * Makes a whole copy of a content at a new place, beside what the catalog knows. Nobody's role changes by it: the primary gives the new instance a base, but
 * no stream of WAL before the catalog names it as mirror.
 */
import { MirabelleError, type Dbid, type MessageOf, type MirrorStep } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { assignmentFor } from '../assignments.ts'
import { sentence } from '../admin-sources.ts'
import type { MirrorSources } from './mirror-sources.ts'
import { watchProgress } from './progress-watch.ts'

const AGENT_TIMEOUT_MS = 15_000
const ASSIGN_TIMEOUT_MS = 2_000

/** Resolves when PostgreSQL replays on the complete copy. Killed anywhere and asked again, it goes on. Rejects with why it does not. */
export async function buildMirror(
  step: MirrorStep,
  limits: Pick<MessageOf<'mirrors.make'>, 'maxRate' | 'stallMs'>,
  sources: MirrorSources,
): Promise<void> {
  const { topology, links, log } = sources
  const { row, content } = step
  checkStep(step, sources)
  if (faults !== undefined) await faults.at('mirrors.build.begin', { content })
  // Durable before the instance exists: no other one will ever have its dbid.
  await topology.change({
    lastDbid: Math.max(topology.lastDbid, row.dbid),
    history: [
      {
        dbid: row.dbid,
        description: `${step.kind}: dbid ${row.dbid} with contentid ${content} is being made on ${row.hostname}:${row.port}, folder ${row.datadir}`,
      },
    ],
  })
  if (faults !== undefined) await faults.at('mirrors.build.recorded', { content })
  const assignment = () => assignmentFor(topology, row, 'm', 'auto', limits.maxRate)
  const agent = links.agent(row.hostname)
  const { instances } = await agent.request({ type: 'agent.status' }, AGENT_TIMEOUT_MS)
  const known = instances.find(({ dbid }) => dbid === row.dbid)
  if (known !== undefined && known.content !== content) throw planIsOld(`dbid ${row.dbid} is given away`)
  if (known !== undefined && known.datadir !== row.datadir)
    throw new MirabelleError(
      'datadir.foreign',
      `dbid ${row.dbid} lies in ${known.datadir} on ${row.hostname} already`,
    )
  if (known === undefined)
    await agent.request(
      { type: 'agent.create', assignment: assignment(), clusterId: topology.clusterId, from: 'empty' },
      AGENT_TIMEOUT_MS,
    )
  if (faults !== undefined) await faults.at('mirrors.build.created', { content })
  log.info(
    { dbid: row.dbid, content, host: row.hostname, datadir: row.datadir },
    'making a mirror at a new place',
  )
  await agent.request({ type: 'agent.start', assignment: assignment() }, AGENT_TIMEOUT_MS)
  if (faults !== undefined) await faults.at('mirrors.build.started', { content })
  let told: Dbid | undefined
  await watchProgress(
    {
      row,
      stallMs: limits.stallMs,
      fromPrimary: true,
      done: async (status) => {
        checkOld(step, sources)
        const primary = topology.primary(content)
        if (status !== undefined && primary !== undefined && told !== primary.dbid) {
          // Also one that an interrupted run has left: it may copy from an instance that is primary no more, at another rate.
          await links
            .instance(row)
            .request({ type: 'instance.assign', assignment: assignment() }, ASSIGN_TIMEOUT_MS)
          told = primary.dbid
        }
        return status?.roleState === 'mirror'
      },
    },
    sources,
  ).catch((error: unknown) => {
    checkOld(step, sources)
    throw new MirabelleError(
      'not.mirror',
      `the copy of content ${content} on ${row.hostname}:${row.port} is not complete, the catalog stays as it was: ${sentence(error)}; run it again to complete it`,
      { cause: error },
    )
  })
  if (faults !== undefined) await faults.at('mirrors.build.complete', { content })
}

/** Whom it is to replace must be the mirror still: after a change of roles it may act as primary. */
function checkOld({ content, oldDbid }: MirrorStep, { topology }: MirrorSources): void {
  if ((topology.mirror(content)?.dbid ?? null) === oldDbid) return
  throw new MirabelleError(
    'not.ready',
    `the roles of content ${content} have changed meanwhile: "mirabelle recover" and "mirabelle rebalance" give it back the mirror that was to be replaced`,
  )
}

/** The plan may be old. */
function checkStep({ row, content, oldDbid, kind }: MirrorStep, { topology }: MirrorSources): void {
  if (topology.host(row.hostname) === undefined) throw planIsOld(`there is no host ${row.hostname}`)
  if (oldDbid !== null && topology.row(oldDbid)?.content !== content)
    throw planIsOld(`dbid ${oldDbid} is gone`)
  if (oldDbid !== null && topology.row(oldDbid)?.role === 'p')
    throw planIsOld(`dbid ${oldDbid} acts as primary`)
  if (kind === 'add' && topology.mirror(content) !== undefined)
    throw planIsOld(`content ${content} has a mirror`)
  const others = topology.rows().filter(({ dbid }) => dbid !== oldDbid)
  const inFolder = others.find((one) => one.hostname === row.hostname && one.datadir === row.datadir)
  if (inFolder !== undefined) throw planIsOld(`dbid ${inFolder.dbid} lies in ${row.datadir}`)
  const addresses = new Set(row.endpoint.addresses)
  const atPort = others.find(
    (one) =>
      one.endpoint.addresses.some((address) => addresses.has(address)) &&
      [one.port, one.endpoint.port].includes(row.endpoint.port),
  )
  if (atPort !== undefined) throw planIsOld(`dbid ${atPort.dbid} has the port ${row.endpoint.port}`)
}

/** What a step takes for granted is not so any more. */
export function planIsOld(why: string): MirabelleError {
  return new MirabelleError(
    'not.ready',
    `${why}: the cluster has changed since this was planned, run the same command again`,
  )
}
