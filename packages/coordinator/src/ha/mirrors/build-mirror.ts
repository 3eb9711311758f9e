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
  const wrong = (why: string): MirabelleError =>
    new MirabelleError(
      'not.ready',
      `${why}: the cluster has changed since this was planned, ask for a new plan`,
    )
  if (topology.host(row.hostname) === undefined) throw wrong(`there is no host ${row.hostname}`)
  if (oldDbid !== null && topology.row(oldDbid)?.content !== content) throw wrong(`dbid ${oldDbid} is gone`)
  if (oldDbid !== null && topology.row(oldDbid)?.role === 'p') throw wrong(`dbid ${oldDbid} acts as primary`)
  if (kind === 'add' && topology.mirror(content) !== undefined) throw wrong(`content ${content} has a mirror`)
  const other = topology.rows().find((one) => one.hostname === row.hostname && one.datadir === row.datadir)
  if (other !== undefined) throw wrong(`dbid ${other.dbid} lies in ${row.datadir}`)
}
