/** Which fault points commands pass, by who passes them. */
import { PROMOTION_POINTS } from '../cluster/fault-points.ts'
import type { PointsOf } from './draw.ts'

const replaced = ['fsync.replace.before', 'fsync.replace.written', 'fsync.replace.renamed'] as const
const catalog = ['catalog.change.before', 'catalog.change.after'] as const
const started = ['agent.start.begin', 'agent.start.written', 'agent.start.spawned', 'agent.remember'] as const
const stopped = ['agent.stop.begin', 'agent.stop.ended'] as const
const created = ['agent.create.begin', 'agent.create.filled', 'agent.create.done'] as const
const removed = ['agent.remove.begin', 'agent.remove.done'] as const
const described = ['cli.describe.before', 'cli.describe.after'] as const
const following = [
  'mirror.replay',
  'mirror.started',
  'state.assignment.before',
  'fsync.wal.mirror.before',
] as const
const copying = [
  'copy.begin',
  'copy.marked',
  'copy.backup',
  'copy.wal-aside',
  'copy.unstartable',
  'copy.file',
  'copy.filled',
  'copy.backup-ended',
  'copy.wal',
  'copy.label',
  'copy.synced',
  'copy.sealed',
  'copy.complete',
  'state.copying.before',
  'state.copying.after',
  ...replaced,
  ...following,
] as const
const giving = [
  'copy-source.backup',
  'copy-source.ended',
  'receive.copy.read',
  'receive.copy.hashes',
  'receive.copy.readFiles',
  'receive.copy.hashFiles',
  'send.wal.data',
] as const
const recovering = [
  'recover.begin',
  'recover.assigned',
  'recover.stopped',
  'recover.started',
  'recover.in-sync',
  'fts.mirror-up.before',
  'fts.mirror-up.after',
  'fts.out-of-sync.before',
  'fts.out-of-sync.after',
] as const
const building = [
  'mirrors.build.begin',
  'mirrors.build.recorded',
  'mirrors.build.created',
  'mirrors.build.started',
  'mirrors.build.complete',
  'mirrors.switch.held',
  'mirrors.switch.recorded',
  'mirrors.switch.sync-rep-off',
  'mirrors.switch.told',
] as const

export const recoverPoints: PointsOf = {
  cli: ['send.mirrors.plan', 'send.mirrors.make', 'receive.cluster.done', ...described],
  agent: [...started, ...stopped],
  coordinator: [...recovering, ...catalog],
  source: [
    'state.assignment.before',
    'state.syncRep.before',
    'state.syncRep.after',
    'receive.wal.start',
    'send.wal.data',
  ],
  target: [...following, ...replaced],
}

export const copyPoints: PointsOf = { ...recoverPoints, source: giving, target: copying }

export const switchoverPoints: PointsOf = {
  cli: ['send.cluster.rebalance', 'send.host.drain', 'receive.cluster.done'],
  agent: [...started, ...stopped],
  coordinator: [
    'rebalance.begin',
    'rebalance.held',
    'rebalance.stopped',
    'rebalance.recorded',
    'rebalance.promoted',
    'rebalance.opened',
    'rebalance.released',
    'fts.mirror-up.before',
    ...catalog,
  ],
  // It becomes the primary.
  source: [...PROMOTION_POINTS, 'fsync.files.before', ...replaced],
  // It becomes the mirror.
  target: [...following, 'state.role.before', 'state.role.after'],
}

export const movePoints: PointsOf = {
  cli: ['send.mirrors.plan', 'send.mirrors.make', 'receive.cluster.done', ...described],
  agent: [...created, ...removed, ...started, ...stopped],
  coordinator: [
    ...building,
    ...catalog,
    'mirrors.put-away.stopped',
    'mirrors.put-away.removed',
    'recover.begin',
    'recover.in-sync',
  ],
  source: giving,
  target: copying,
}

export const addPoints: PointsOf = {
  ...movePoints,
  agent: [...created, ...started],
  coordinator: [...building, ...catalog, 'recover.begin', 'recover.in-sync'],
}

export const removePoints: PointsOf = {
  cli: ['send.mirrors.remove', 'receive.cluster.done', ...described],
  agent: [...stopped, ...removed, 'agent.remember'],
  coordinator: [
    'mirrors.remove.held',
    'mirrors.remove.recorded',
    'mirrors.remove.told',
    'mirrors.remove.stopped',
    'mirrors.remove.discarded',
    'mirrors.switch.sync-rep-off',
    ...catalog,
  ],
  source: [
    'receive.segment.syncRepOff',
    'state.syncRep.before',
    'state.syncRep.after',
    'state.assignment.before',
  ],
}

const standbyCoordinator = ['standby.told', 'standby.started', 'standby.streams', 'standby.complete'] as const

export const standbyInitPoints: PointsOf = {
  cli: ['send.standby.plan', 'send.standby.init', 'receive.cluster.done', ...described],
  agent: [...created, ...started],
  coordinator: [
    'standby.init.begin',
    'standby.init.recorded',
    'standby.created',
    ...standbyCoordinator,
    ...giving,
    ...catalog,
  ],
  target: copying,
}

export const standbyResyncPoints: PointsOf = {
  cli: ['send.standby.resync', 'receive.cluster.done'],
  agent: [...started, ...stopped],
  coordinator: ['standby.resync.stopped', ...standbyCoordinator, ...giving, ...catalog],
  target: copying,
}

export const standbyRemovePoints: PointsOf = {
  cli: ['send.standby.remove', 'receive.cluster.done', ...described],
  agent: [...stopped, ...removed, 'agent.remember'],
  coordinator: [
    'standby.remove.marked',
    'standby.remove.stopped',
    'standby.remove.discarded',
    'standby.remove.recorded',
    ...catalog,
  ],
}

export const activatePoints: PointsOf = {
  cli: ['send.standby.activate', 'receive.standby.activated', ...described],
  agent: ['agent.remember', 'agent.start.begin'],
  target: [
    'activation.checked',
    'activation.claimed',
    'activation.promised',
    'activation.promoted',
    'activation.epoch',
    'activation.recorded',
    'activation.service',
    'activation.lanes',
    'activation.open',
    'promotion.begin',
    'promotion.sync-rep-off',
    'promotion.recovered',
    'promotion.role',
    'promotion.assigned',
    'fsync.files.before',
    ...replaced,
  ],
}
