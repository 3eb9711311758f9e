/**
 * The named places where tests can make a real process stop, fail, wait or die (Greenplum's fault injector). docs/fault-points.md is generated from
 * this catalogue; a test finds every name in the file that it claims to be in. What runs at a point is runtime's fault injector; in a process that was
 * not started with fault points allowed there is none, and a point is a look at a variable that is undefined.
 */
import type { MessageType } from '../message.ts'

export interface FaultPointEntry {
  /** What has just been done, or is about to be, when a process gets here. */
  readonly doc: string
  /** The source file, below `packages/`. */
  readonly file: string
}

/** The points of one file: what has been done, by name. */
function pointsIn<const P extends Record<string, string>>(
  file: string,
  points: P,
): { readonly [K in keyof P]: FaultPointEntry } {
  return Object.fromEntries(
    Object.entries(points).map(([name, doc]) => [name, { doc, file }]),
  ) as unknown as { readonly [K in keyof P]: FaultPointEntry }
}

/** The catalogue by subject. Two neighbouring steps have one point between them: the state of the world is the same after the one and before the other. */
export const faultPointCatalog = {
  catalog: {
    title: 'Writes to the catalog',
    points: {
      ...pointsIn('coordinator/src/ha/topology.ts', {
        'catalog.change.before': 'a change of the catalog, any one, is about to be written',
        'catalog.change.after': 'it is durable, and nobody acts on it yet',
      }),
      ...pointsIn('fts/src/fts-content.actor.ts', {
        'fts.failover.before': 'FTS is about to record that the mirror of a content becomes its primary',
        'fts.failover.after': 'that is durable; nobody is fenced, PROMOTE is not sent',
        'fts.mirror-down.before': 'FTS is about to record that the mirror of a content is down',
        'fts.mirror-down.after': 'that is durable; SYNCREP_OFF is not sent, commits still wait',
        'fts.mirror-up.before': 'FTS is about to record that a pair is in sync',
        'fts.mirror-up.after': 'that is durable',
        'fts.out-of-sync.before': 'FTS is about to record that a mirror is connected and not in sync',
        'fts.out-of-sync.after': 'that is durable',
        'fts.history.before': 'FTS is about to write a row of history only: a double fault, or its end',
        'fts.history.after': 'that is durable',
      }),
    },
  },
  state: {
    title: 'Promises of an instance, in small files',
    points: pointsIn('instance/src/state/durable-state.ts', {
      'state.epoch.before': 'a higher epoch is about to be promised',
      'state.epoch.after': 'the promise is durable, and not yet told',
      'state.syncRep.before': 'whether commits wait for the mirror is about to change',
      'state.syncRep.after': 'that is durable, and not yet in force',
      'state.standbyStale.before': 'the mark of a stale standby is about to change',
      'state.standbyStale.after': 'that is durable, and not yet told',
      'state.role.before': 'the role of the data is about to change',
      'state.role.after': 'that is durable',
      'state.copying.before': 'a copy over the base is about to be marked begun, or complete',
      'state.copying.after': 'that is durable',
      'state.assignment.before': 'an assignment is about to be written down',
      'state.assignment.after': 'that is durable, and not yet acted on',
    }),
  },
  fsync: {
    title: 'Files made durable',
    points: {
      ...pointsIn('engine/src/host/wal-sync.ts', {
        'fsync.wal.primary.before': "a primary's WAL is about to be fsynced for the commits that wait",
        'fsync.wal.primary.after': 'it is durable here; the commits still wait for the mirror',
      }),
      ...pointsIn('wal/src/files/wal-writer.ts', {
        'fsync.wal.mirror.before': 'received WAL is written, and about to be fsynced',
        'fsync.wal.mirror.after': 'it is durable at the mirror, and not yet acknowledged',
      }),
      ...pointsIn('engine/src/host/sync-files.ts', {
        'fsync.files.before':
          'PostgreSQL starts or is promoted: a group of files of its data directory is about to be fsynced',
        'fsync.files.after': 'they are durable',
      }),
      ...pointsIn('engine/src/worker/data-sync-faults.ts', {
        'fsync.data.before':
          'in the thread of PostgreSQL: a file of an open data directory is about to be fsynced, by a checkpoint mostly',
        'fsync.data.after': 'it is durable',
      }),
      ...pointsIn('instance/src/maintenance/maintenance.actor.ts', {
        'checkpoint.before': 'CHECKPOINT is about to run: data files are written and fsynced',
        'checkpoint.after': 'it is complete',
      }),
      ...pointsIn('runtime/src/real/real-disk.ts', {
        'fsync.replace.before':
          'a small file is about to be replaced: state, assignment, label, control file of a copy',
        'fsync.replace.written': 'the new content is durable under a temporary name',
        'fsync.replace.renamed': 'it has the name; its folder is not yet fsynced',
      }),
    },
  },
  promotion: {
    title: 'Promotion of a mirror',
    points: {
      ...pointsIn('instance/src/life/promotion.ts', {
        'promotion.begin': 'the role machine has become `promoting`',
        'promotion.sync-rep-off': 'commits will not wait for a mirror; recovery is being ended',
        'promotion.recovered':
          "PostgreSQL has ended recovery on a new timeline; the folder is still a mirror's",
        'promotion.role': "the folder is a primary's",
        'promotion.assigned': "the assignment is a primary's; nothing is answered as primary yet",
        'promotion.open': 'it is primary',
      }),
      ...pointsIn('instance/src/control/control.ts', {
        'probe.answer': 'the disk check of a probe is done, the answer is not given',
      }),
    },
  },
  'two-phase': {
    title: 'Two-phase commit',
    points: pointsIn('coordinator/src/dtx/two-phase.ts', {
      'two-phase.begin':
        'a transaction that wrote on several contents is to be committed; nothing is prepared',
      'two-phase.prepare': 'PREPARE TRANSACTION is about to be sent to one content',
      'two-phase.prepared': 'one content has prepared, durable on both copies',
      'two-phase.all-prepared': 'all have answered; the outcome is not decided',
      'two-phase.decided': 'it is decided; nobody has been told',
      'two-phase.end': 'COMMIT PREPARED or ROLLBACK PREPARED is about to be sent to one content',
      'two-phase.ended': 'one content has ended the transaction',
    }),
  },
  resolution: {
    title: 'Resolution of prepared transactions, before a lane opens',
    points: pointsIn('coordinator/src/dtx/resolver.ts', {
      'resolution.begin': 'a content is about to be asked what it holds',
      'resolution.listed': 'what it has prepared is known',
      'resolution.verdict': 'one prepared transaction is judged; it is not ended',
      'resolution.ended': 'one is ended',
      'resolution.end': 'nothing is prepared there any more; the lane is not open',
    }),
  },
  recovery: {
    title: 'Recovery and the copy of a base',
    points: {
      ...pointsIn('coordinator/src/ha/cluster-admin.ts', {
        'recover.begin': 'an instance is to be brought back as mirror; nothing is done',
        'recover.assigned': 'its primary has been told who its mirror is',
        'recover.stopped': 'what ran there is ended',
        'recover.started': 'it is started',
        'recover.in-sync': 'FTS has recorded it in sync',
      }),
      ...pointsIn('instance/src/life/copying.ts', {
        'copy.begin': 'a mirror is to be copied anew; replay still runs',
        'copy.marked': 'the folder is marked as no copy of anything',
        'copy.complete': 'the mark is gone; replay has not begun',
      }),
      ...pointsIn('instance/src/copy/block-copy.ts', {
        'copy.backup': 'the primary is in an online backup for this copy',
        'copy.wal-aside': 'WAL that the primary does not have is put aside',
        'copy.unstartable': 'PostgreSQL cannot start on the folder any more',
        'copy.filled': 'all files but the label and the control file are equal and durable',
        'copy.backup-ended': 'the online backup is ended',
        'copy.wal': 'WAL of the backup is there, checked and durable',
      }),
      ...pointsIn('instance/src/copy/fill-folder.ts', {
        'copy.file': 'one more file is equal and durable',
        'copy.label': 'the backup label is there',
        'copy.synced': 'so are the folders; only the control file is missing',
        'copy.sealed': 'the control file is there',
      }),
      ...pointsIn('instance/src/copy/copy-session.ts', {
        'copy-source.backup': 'at the source: the online backup has begun',
        'copy-source.ended': 'at the source: it is ended in PostgreSQL; the asker does not know',
      }),
      ...pointsIn('instance/src/life/following.ts', {
        'mirror.replay': 'an instance is about to receive and replay WAL as mirror',
        'mirror.started': 'its PostgreSQL replays; the role machine does not know yet',
      }),
    },
  },
  refresh: {
    title: 'A mirror changes to a new base',
    points: {
      ...pointsIn('instance/src/refresh/base-refresh.actor.ts', {
        'refresh.begin': 'a refresh of the base begins',
        'refresh.built': 'the new base is whole beside the old one',
        'refresh.wal': 'the WAL that it needs is there',
        'refresh.running': 'PostgreSQL replays on the new base; the old one is still there',
        'refresh.old-removed': 'the old base is deleted; its WAL is not',
      }),
      ...pointsIn('instance/src/refresh/build-base.ts', {
        'refresh.cloned': "the mirror's own files are cloned; the backup has not begun",
      }),
      ...pointsIn('instance/src/refresh/base-folders.ts', {
        'refresh.switch': 'PostgreSQL is stopped, both bases are in their places',
        'refresh.renamed-old': 'the old base is out of the way, and none in its place',
        'refresh.renamed-new': 'the new base is in place; its folder is not yet fsynced',
      }),
    },
  },
  rebalance: {
    title: 'Switchover: rebalance and host drain',
    points: pointsIn('coordinator/src/ha/rebalance.ts', {
      'rebalance.begin': 'FTS keeps off the content; its lane is open',
      'rebalance.held': 'nothing runs on the content, its mirror has all WAL',
      'rebalance.stopped': 'the acting primary is stopped',
      'rebalance.recorded': 'the roles are recorded; nobody is promoted',
      'rebalance.promoted': 'PROMOTE is sent',
      'rebalance.opened': 'the lane stands on the new primary, and is still held',
      'rebalance.released': 'statements run again; the old primary is not yet a mirror in sync',
    }),
  },
  mirrors: {
    title: 'Mirrors that are added, moved and removed',
    points: {
      ...pointsIn('coordinator/src/ha/mirrors/build-mirror.ts', {
        'mirrors.build.begin': 'a mirror is to be made at a new place; nothing is done',
        'mirrors.build.recorded': 'its dbid is given away',
        'mirrors.build.created': 'its folder is there',
        'mirrors.build.started': 'its process runs, and copies',
        'mirrors.build.complete': 'it replays on a complete copy; the catalog does not name it',
      }),
      ...pointsIn('coordinator/src/ha/mirrors/switch-mirror.ts', {
        'mirrors.switch.held': 'FTS keeps off the content; the old row is still there',
        'mirrors.switch.recorded': 'the catalog names the new mirror; its primary does not know',
        'mirrors.switch.sync-rep-off': 'the primary waits for no mirror; it does not know who it is',
        'mirrors.switch.told': 'the primary knows its new mirror',
      }),
      ...pointsIn('coordinator/src/ha/mirrors/make-mirrors.ts', {
        'mirrors.put-away.stopped': 'the instance that was replaced is stopped; its folder is there',
        'mirrors.put-away.removed': 'so is its folder gone',
      }),
      ...pointsIn('coordinator/src/ha/mirrors/remove-mirrors.ts', {
        'mirrors.remove.held': 'FTS keeps off the content; its mirror is in the catalog',
        'mirrors.remove.recorded': 'the row is gone; the primary waits for a mirror',
        'mirrors.remove.told': 'the primary waits for nobody; process and folder are there',
        'mirrors.remove.stopped': 'the process is ended',
        'mirrors.remove.discarded': 'the folder is gone',
      }),
      ...pointsIn('coordinator/src/ha/mirrors/revive.ts', {
        'revive.stopped': 'a copy is to take over without being in sync; its process is ended',
        'revive.recorded': 'the roles are recorded; nobody runs as primary',
        'revive.started': 'it is started as primary',
      }),
    },
  },
  standby: {
    title: 'Standby coordinator: init, remove, resync',
    points: pointsIn('coordinator/src/ha/standby-admin.ts', {
      'standby.init.begin': 'a standby is to be made; nothing is done',
      'standby.init.recorded': 'its row is in the catalog, down',
      'standby.created': 'its folder is there',
      'standby.told': 'the coordinator knows who its standby is',
      'standby.started': 'the process runs',
      'standby.streams': 'it has all of the WAL; the catalog does not say so',
      'standby.complete': 'the catalog says so',
      'standby.remove.marked': 'the segments know that the standby must not be activated',
      'standby.remove.stopped': 'its process is ended',
      'standby.remove.discarded': 'its folder is gone',
      'standby.remove.recorded': 'its row is gone',
      'standby.resync.stopped': 'its process is ended, to be started anew',
    }),
  },
  activation: {
    title: 'Activation of the standby coordinator',
    points: {
      ...pointsIn('coordinator/src/coordinator.actor.ts', {
        'activation.checked':
          'the old coordinator does not answer and enough segments know of no loss; nothing is changed',
        'activation.claimed': 'enough segments have promised the new epoch; this instance has not',
        'activation.promised': 'so has this instance; it is a mirror still',
        'activation.promoted': 'it is primary; the catalog still names the old coordinator',
        'activation.service': 'the catalog names it, the segments obey it; no lane is open',
        'activation.lanes': 'lanes may open; clients are not let in',
        'activation.open': 'clients are let in',
      }),
      ...pointsIn('coordinator/src/ha/take-role.ts', {
        'activation.epoch': 'the epoch of the new coordinator is promised; the catalog does not have it',
        'activation.recorded': 'the catalog has it',
      }),
    },
  },
  agent: {
    title: "The agents' work on folders and processes",
    points: {
      ...pointsIn('agent/src/create-instance-folder.ts', {
        'agent.create.begin': 'a folder is to be made; nothing is there',
        'agent.create.filled': 'its data is there; it has no identity',
        'agent.create.done': 'it has its identity; the agent has not written down that it knows it',
      }),
      ...pointsIn('agent/src/agent.actor.ts', {
        'agent.remove.begin': 'a folder is to be deleted',
        'agent.remove.done': 'it is gone; the agent has not written that down',
        'agent.discard.begin': 'diverged WAL is to be deleted',
      }),
      ...pointsIn('agent/src/instances-file.ts', {
        'agent.remember': 'instances.json is about to be written',
      }),
      ...pointsIn('agent/src/instance-keeper.ts', {
        'agent.start.begin': 'an instance is to be started',
        'agent.start.written': 'its assignment is in its folder; no process runs',
        'agent.start.spawned': 'the process exists; the asker does not know',
        'agent.stop.begin': 'an instance is to be stopped',
        'agent.stop.ended': 'its process is gone; the asker does not know',
      }),
    },
  },
  cli: {
    title: 'The command line',
    points: pointsIn('cli/src/folder/cluster-folder.ts', {
      'cli.describe.before': 'a command is about to write cluster.json',
      'cli.describe.after': 'it has written it',
    }),
  },
} as const

type Catalog = typeof faultPointCatalog
type NamesOf<G> = G extends { readonly points: infer P } ? keyof P & string : never

/** A message on its way: every message of the protocol is a point on either side, but those that work the fault points themselves. */
export type MessagePoint = `send.${MessageType}` | `receive.${MessageType}`
/** The name of a fault point. */
export type FaultPoint = NamesOf<Catalog[keyof Catalog]> | MessagePoint

/** All points but those of messages, in the order of the page. */
export const namedFaultPoints: ReadonlyMap<string, FaultPointEntry> = new Map(
  Object.values(faultPointCatalog).flatMap(({ points }) =>
    Object.entries(points as Record<string, FaultPointEntry>),
  ),
)
