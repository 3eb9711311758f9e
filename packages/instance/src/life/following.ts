/** The life of a mirror: it receives WAL and replays it, and its base is kept young. */
import { MirabelleError, type Peer } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { DEFAULT_SEGMENT_SIZE } from '@mirabelle/wal'
import { MirrorSide } from '../mirror/mirror-side.actor.ts'
import { syncTail } from '../mirror/sync-tail.ts'
import type { WalEnd } from '../mirror/wal-end.ts'
import { BaseRefresh, type RefreshedMirror } from '../refresh/base-refresh.actor.ts'
import { buildBase, type BuildBase } from '../refresh/build-base.ts'
import { pgWalDir, receivedWalDir } from '../state/layout.ts'
import type { InstanceCore } from './instance-core.ts'

/** Where the WAL of the folder ends, checked and durable. Rejects with `datadir.broken` when there is none. */
export async function findEnd(core: InstanceCore): Promise<WalEnd> {
  const { wal, ports, walFolders } = core
  const end = await wal.findEnd(ports, walFolders)
  if (end === undefined) {
    throw new MirabelleError(
      'datadir.broken',
      `${core.datadir} has no WAL at all: dbid ${core.dbid} cannot be a mirror; recover it with a full copy`,
    )
  }
  await syncTail(ports.disk, walFolders, end.receivedEnd, wal.segmentSize ?? DEFAULT_SEGMENT_SIZE)
  return end
}

/** Receives from `peer` and replays, from `end` on. Resolves when replay has begun, or something else came in between. */
export async function replay(core: InstanceCore, end: WalEnd, peer: Peer | undefined): Promise<void> {
  await core.durable.setRole('m')
  if (faults !== undefined) await faults.at('mirror.replay')
  const mirror = mirrorSide(core, end, peer)
  core.mirror = mirror
  const started = await core.limits.started(mirror.start(), 'start as mirror').catch((error: unknown) => {
    // A copy ended this start: the base is made anew, however the start on the old one went.
    if (core.mirror === mirror) throw error
    core.log.debug({ err: error }, 'the start on the old base was ended by a copy')
  })
  if (started === undefined || core.mirror !== mirror || core.state !== 'starting') return
  if (faults !== undefined) await faults.at('mirror.started')
  core.generation = started.generation
  core.decide({ type: 'engine.mirror', timeline: mirror.timeline })
  if (isPromoting(core)) core.turns.promote()
}

function isPromoting(core: InstanceCore): boolean {
  return core.state === 'promoting'
}

function mirrorSide(core: InstanceCore, end: WalEnd, peer: Peer | undefined): MirrorSide {
  const { clusterId, content, dbid, systemIdentifier, turns } = core
  const build = core.hooks.buildBase ?? (core.options.maintenance === false ? undefined : buildBase)
  return new MirrorSide({
    ports: core.ports,
    log: core.log,
    engine: core.engine,
    wal: core.wal,
    state: core.durable,
    identity: { clusterId, content, dbid, systemIdentifier },
    walDir: receivedWalDir(core.datadir),
    ownWal: pgWalDir(core.datadir),
    end,
    peer,
    settings: () => core.settings,
    ...(build === undefined
      ? {}
      : { refresh: (mirror: RefreshedMirror) => baseRefresh(core, build, mirror) }),
    onTimeline: (timeline) => {
      if (core.state === 'mirror') core.decide({ type: 'engine.mirror', timeline })
    },
    onUnfit: (state, reason) => turns.recover(`${state}: ${reason.message}`, reason),
    onFatal: (error) => turns.fail(error),
  })
}

function baseRefresh(core: InstanceCore, build: BuildBase, mirror: RefreshedMirror): BaseRefresh {
  const options = {
    ports: core.ports,
    log: core.log,
    datadir: core.datadir,
    segmentSize: core.wal.segmentSize ?? DEFAULT_SEGMENT_SIZE,
    buildBase: build,
    settings: () => core.settings,
    peer: () => core.assignment.peer,
    hello: () => core.hello('copy'),
  }
  return new BaseRefresh(options, mirror)
}
