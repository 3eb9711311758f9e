/** The beginning of an instance's life: its folder is opened, its door too, and then its role. */
import { EngineLocked } from '@mirabelle/engine'
import { formatLsn, MirabelleError } from '@mirabelle/messages'
import type { Connection, Hello } from '@mirabelle/runtime'
import { settleBases } from '../refresh/base-folders.ts'
import { pgdataDir } from '../state/layout.ts'
import { systemIdentifier } from '../state/system-identifier.ts'
import { beginCopy, copyHook } from './copying.ts'
import { findEnd, replay } from './following.ts'
import type { InstanceCore } from './instance-core.ts'
import { openFolder } from './open-folder.ts'
import { openPrimary } from './open-primary.ts'
import { lacksWal, refuseBase } from './promotion.ts'

/** Opens folder and listener. Rejects with `datadir.foreign`, `datadir.locked`, `datadir.broken`, `epoch.stale`, or as the network does. */
export async function open(
  core: InstanceCore,
  accept: (connection: Connection, hello: Hello) => void,
): Promise<void> {
  const { ports, datadir, assignment } = core
  const durable = await openFolder(ports.disk, core.clusterId, assignment, () => claimFolder(core))
  core.durableIfOpen = durable
  core.actOn(durable.assignment ?? assignment)
  const put = durable.copying === null ? await settleBases(ports.disk, datadir) : undefined
  if (put !== undefined) core.log.warn({ put }, 'a change of bases was interrupted; one is in place again')
  core.listener = await ports.network.listen(assignment.listen, () => core.party(), accept)
}

/** From here on no other process works on the folder (I7): a mirror has files of its own beside PostgreSQL's. Rejects with `datadir.locked`. */
async function claimFolder({ engine, dbid }: InstanceCore): Promise<void> {
  try {
    await engine.claim?.()
  } catch (error) {
    if (!(error instanceof EngineLocked)) throw error
    throw new MirabelleError('datadir.locked', `dbid ${dbid}: ${error.message}`, { cause: error })
  }
}

/** Starts PostgreSQL in the assigned role. Resolves when the instance is primary or mirror, or is being copied. */
export function startInRole(core: InstanceCore): Promise<void> {
  return core.assignment.role === 'p' ? startAsPrimary(core) : startAsMirror(core)
}

async function startAsPrimary(core: InstanceCore): Promise<void> {
  const { durable, datadir, dbid } = core
  if (durable.copying !== null) {
    throw new MirabelleError(
      'datadir.broken',
      `${datadir} holds a copy that is not complete (dbid ${dbid}): it cannot be started as primary; recover it as mirror`,
    )
  }
  core.systemIdentifier = await systemIdentifier(core.ports.disk, datadir)
  if (durable.role === 'm') {
    // FTS made this copy the primary while its process was away, or a promotion was interrupted.
    const end = await findEnd(core)
    if (end.damaged === true) throw lacksWal(core, `its WAL is damaged at ${formatLsn(end.receivedEnd)}`)
    // That promotion may have ended in the moment in which it was to be written down that it has missed something.
    if (end.missed !== undefined) await refuseBase(core, end.missed)
    core.decide({ type: 'promote' })
    await replay(core, end, undefined)
    return
  }
  const started = await core.limits.started(core.engine.startPrimary(), 'start as primary')
  await durable.setRole('p')
  await openPrimary(core, started, undefined)
}

async function startAsMirror(core: InstanceCore): Promise<void> {
  const { durable, datadir, ports, assignment } = core
  const { recovery } = assignment
  const wanted = durable.copying ?? (recovery === 'full' || recovery === 'differential' ? recovery : null)
  const noBase =
    copyHook(core) !== undefined && !(await ports.disk.exists(`${pgdataDir(datadir)}/global/pg_control`))
  if (wanted !== null || noBase) {
    const why = noBase ? 'the folder has no base yet' : `${wanted} recovery was asked for`
    beginCopy(core, wanted ?? 'full', why)
    return
  }
  core.systemIdentifier = await systemIdentifier(ports.disk, datadir)
  await replay(core, await findEnd(core), assignment.peer ?? undefined)
}
