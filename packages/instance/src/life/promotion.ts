/** From mirror to primary: recovery ends where the received WAL ends, and only a copy that has all that it acknowledged opens (I2). */
import type { EngineStarted } from '@mirabelle/engine'
import { COORDINATOR_CONTENT, formatLsn, MirabelleError, type Lsn } from '@mirabelle/messages'
import type { SettledKnown, WalReceiverStopped } from '@mirabelle/wal'
import { faults } from '@mirabelle/runtime'
import type { MirrorSide } from '../mirror/mirror-side.actor.ts'
import type { WalEnd } from '../mirror/wal-end.ts'
import type { InstanceCore } from './instance-core.ts'
import { openPrimary } from './open-primary.ts'

/** Promotes the mirror, in state `promoting`. Rejects when it cannot be primary: the instance must fail then. */
export async function promote(core: InstanceCore): Promise<void> {
  const mirror = core.mirror as MirrorSide
  const { clock } = core.ports
  const begunAt = clock.monotonic()
  if (faults !== undefined) await faults.at('promotion.begin')
  // Commits of the new primary must not wait for a mirror that it does not have: off before the folder is a primary's.
  const [, { started, received, end }] = await Promise.all([
    syncRepOff(core),
    core.limits.started(mirror.takeOver(), 'promotion'),
  ])
  if (core.state !== 'promoting') return
  await requireAll(core, started, end)
  if (faults !== undefined) await faults.at('promotion.recovered')
  await Promise.all([rolePrimary(core), assignedPrimary(core)])
  core.mirror = undefined
  await openPrimary(core, started, settledBefore(received))
  if (faults !== undefined) await faults.at('promotion.open')
  core.log.info(
    {
      timeline: started.timeline,
      lsn: formatLsn(started.lsn),
      receivedEnd: formatLsn(end),
      tookMs: Math.round(clock.monotonic() - begunAt),
    },
    'promoted',
  )
}

async function syncRepOff({ durable }: InstanceCore): Promise<void> {
  await durable.setSyncRep(false)
  if (faults !== undefined) await faults.at('promotion.sync-rep-off')
}

async function rolePrimary({ durable }: InstanceCore): Promise<void> {
  await durable.setRole('p')
  if (faults !== undefined) await faults.at('promotion.role')
}

/** A promoted standby has no standby: the old coordinator cannot become one without a recovery. */
async function assignedPrimary(core: InstanceCore): Promise<void> {
  const peer = core.content === COORDINATOR_CONTENT ? null : core.assignment.peer
  await core.assign((held) => ({ ...held, role: 'p', peer }))
  if (faults !== undefined) await faults.at('promotion.assigned')
}

/** To be primary it would lack WAL that it has acknowledged (I2). */
export function lacksWal({ dbid, content }: InstanceCore, why: string): MirabelleError {
  return new MirabelleError(
    'wal.corrupt',
    `dbid ${dbid} of content ${content} cannot become primary: ${why}; start the other instance of the content, then recover this one`,
    { detail: { dbid, content } },
  )
}

/** Also a promotion that a new process of the mirror completes, which received nothing itself. */
async function requireAll(core: InstanceCore, started: EngineStarted, receivedEnd: Lsn): Promise<void> {
  const end = await recoveredTo(core, started)
  if (end < receivedEnd) await refuseBase(core, { at: end, received: receivedEnd })
}

/** Recovery ended before all that was acknowledged. This base must never serve, not after a restart either. */
export async function refuseBase(
  core: InstanceCore,
  { at, received }: NonNullable<WalEnd['missed']>,
): Promise<never> {
  await core.durable.setCopying('differential')
  throw lacksWal(
    core,
    `recovery ended at ${formatLsn(at)} although WAL was received up to ${formatLsn(received)}`,
  )
}

/** Where the new timeline begins. What PostgreSQL has written there since may be longer than what recovery has missed. */
async function recoveredTo({ wal, ports, walFolders }: InstanceCore, started: EngineStarted): Promise<Lsn> {
  const history = await wal.history(ports, walFolders, started.timeline)
  return history.at(-1)?.end ?? started.lsn
}

function settledBefore(received: WalReceiverStopped | undefined): SettledKnown | undefined {
  if (received === undefined) return undefined
  const { settled, receivedEnd } = received
  return { ...settled, entries: settled.entries.filter(([, lsn]) => lsn <= receivedEnd) }
}
