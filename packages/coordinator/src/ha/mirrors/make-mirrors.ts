/**
 * Carries out the steps of a plan: recoveries in place, and copies to new places (replication §4; Greenplum: gprecoverseg, gpmovemirrors, gpaddmirrors).
 *
 * Promise: a row moves only when the new copy is complete; until then the old one is true. A step that runs already is followed, not begun again; one
 * that was interrupted, with the coordinator too, is completed by the next run. One that fails leaves the others alone.
 */
import {
  MirabelleError,
  type ActionResult,
  type MessageOf,
  type MirrorStep,
  type SegmentRow,
} from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { sentence } from '../admin-sources.ts'
import { recoverOne } from '../cluster-admin.ts'
import { buildMirror, planIsOld } from './build-mirror.ts'
import { switchMirror } from './switch-mirror.ts'
import type { MirrorSources } from './mirror-sources.ts'
import { discard, discardLeftovers } from './remove-mirrors.ts'
import { putStrangersAway } from './strangers.ts'
import { inParallel } from './work-list.ts'

type Request = MessageOf<'mirrors.make'>

/** A result for each step, and one more for each that left something behind. */
export async function makeMirrors(request: Request, sources: MirrorSources): Promise<ActionResult[]> {
  const claimed = request.steps.map((step) => claim(step, sources))
  const make = (one: Claimed): Promise<ActionResult[]> => makeOne(one, request, sources).finally(one.release)
  return (await inParallel(claimed, Math.max(1, request.parallel), make)).flat()
}

interface Claimed {
  readonly step: MirrorStep
  readonly release: () => void
}

/** The step with its dbid and its place, or with the obstacle that they are not to be had. All at once: a plan with several goes by what was given away before it. */
function claim(step: MirrorStep, { work, topology }: MirrorSources): Claimed {
  const none = { release: () => undefined }
  const { row, content } = step
  if (step.obstacle !== null || isInPlace(step)) return { step, ...none }
  try {
    const there = topology.row(row.dbid)
    const isHere =
      there?.content === content && there.hostname === row.hostname && there.datadir === row.datadir
    if (there === undefined ? !step.begun && row.dbid <= topology.lastDbid : !isHere)
      throw planIsOld(`dbid ${row.dbid} is given away`)
    return { step, release: work.claim(row) }
  } catch (error) {
    return { step: { ...step, obstacle: sentence(error) }, ...none }
  }
}

async function makeOne({ step }: Claimed, request: Request, sources: MirrorSources): Promise<ActionResult[]> {
  const { content, row } = step
  const result = (outcome: ActionResult['outcome'], message: string): ActionResult => ({
    dbid: row.dbid,
    content,
    outcome,
    message,
  })
  if (step.obstacle !== null) return [result('failed', step.obstacle)]
  // Another way, or another place, is other work.
  const how = isInPlace(step)
    ? step.mode === 'auto'
      ? ''
      : ` (${step.mode})`
    : ` on ${row.hostname}:${row.port}`
  const what = `${WORDS[step.kind]} dbid ${row.dbid}${how}`
  try {
    return await sources.work.do(content, what, async () => {
      await putStrangersAway(content, row.dbid, sources)
      return isInPlace(step) ? [await inPlace(step, request, sources)] : elsewhere(step, request, sources)
    })
  } catch (error) {
    return [result('failed', sentence(error))]
  }
}

function isInPlace({ kind, oldDbid }: MirrorStep): boolean {
  return kind !== 'add' && oldDbid === null
}

const WORDS = { recover: 'recovery of', move: 'move to', add: 'making of' } as const

async function inPlace(step: MirrorStep, request: Request, sources: MirrorSources): Promise<ActionResult> {
  const { topology } = sources
  const row = topology.row(step.row.dbid)
  const base = { dbid: step.row.dbid, content: step.content }
  if (row === undefined)
    return { ...base, outcome: 'failed', message: `dbid ${step.row.dbid} is no longer in the catalog` }
  // A move that was interrupted after its row had moved leaves the folder of the old instance.
  if (step.kind === 'move') await discardLeftovers(step.content, [], sources)
  if (row.status === 'u' && row.mode === 's') return { ...base, outcome: 'done', message: 'in sync' }
  return recoverOne(row, { mode: step.mode, timeoutMs: request.stallMs, maxRate: request.maxRate }, sources)
}

async function elsewhere(
  step: MirrorStep,
  request: Request,
  sources: MirrorSources,
): Promise<ActionResult[]> {
  const { topology, log, clock } = sources
  const begunAt = clock.monotonic()
  const { row } = step
  const base = { dbid: row.dbid, content: step.content }
  // Switched already by a run that was interrupted afterwards: the rest is a recovery in place.
  if (topology.row(row.dbid) === undefined) await buildAndSwitch(step, request, sources)
  const left = await putAway(step, sources)
  const now = topology.row(row.dbid) as SegmentRow
  const synced =
    now.status === 'u' && now.mode === 's'
      ? undefined
      : await recoverOne(
          now,
          { mode: 'auto', timeoutMs: request.stallMs, maxRate: request.maxRate, running: true },
          sources,
        )
  if (synced !== undefined && synced.outcome !== 'done')
    return [
      {
        ...synced,
        message: `the row has moved to ${row.hostname}:${row.port}, but ${synced.message}; run "mirabelle recover"`,
      },
      ...left,
    ]
  log.info(
    { ...base, tookMs: Math.round(clock.monotonic() - begunAt) },
    'a mirror is complete at its new place',
  )
  return [{ ...base, outcome: 'done', message: `mirror on ${row.hostname}:${row.port}, in sync` }, ...left]
}

/** Puts a complete copy in the place of the old one. When the roles have changed meanwhile nobody will come back to it: what was made is taken back. */
async function buildAndSwitch(step: MirrorStep, request: Request, sources: MirrorSources): Promise<void> {
  try {
    await buildMirror(step, request, sources)
    await switchMirror(step, request.mirroring, sources)
  } catch (error) {
    const { topology, log } = sources
    const { row, content, oldDbid } = step
    if (topology.row(row.dbid) !== undefined || (topology.mirror(content)?.dbid ?? null) === oldDbid)
      throw error
    log.warn(
      { dbid: row.dbid, content, err: error },
      'the roles have changed: a mirror in the making is taken back',
    )
    const { outcome, message } = await discard(row, row.hostname, sources)
    const taken = outcome === 'done' ? 'what had been made was taken back' : message
    throw new MirabelleError('not.ready', `${sentence(error)}; ${taken}`, { cause: error })
  }
}

const STOP_TIMEOUT_MS = 15_000
const REMOVE_TIMEOUT_MS = 600_000

/** Ends the process of the instance that was replaced; deletes its folder when it was moved away. Resolves with what is left of it. */
async function putAway(step: MirrorStep, { links, topology, log }: MirrorSources): Promise<ActionResult[]> {
  const { oldDbid, content } = step
  if (oldDbid === null || step.oldHost === null || topology.row(oldDbid) !== undefined) return []
  try {
    const agent = links.agent(step.oldHost)
    await agent.request({ type: 'agent.stop', dbid: oldDbid, mode: 'immediate' }, STOP_TIMEOUT_MS)
    if (faults !== undefined) await faults.at('mirrors.put-away.stopped', { content })
    // What was lost with a host may be wanted still; what was moved away is the copy of a complete one.
    if (step.kind === 'move') await agent.request({ type: 'agent.remove', dbid: oldDbid }, REMOVE_TIMEOUT_MS)
    if (faults !== undefined) await faults.at('mirrors.put-away.removed', { content })
    return []
  } catch (error) {
    log.warn({ dbid: oldDbid, err: error }, 'the instance that was replaced could not be put away')
    if (step.kind !== 'move') return []
    const message = `its folder on ${step.oldHost} is left: ${sentence(error)}; run the same command again when the host is back`
    return [{ dbid: oldDbid, content, outcome: 'failed', message }]
  }
}
