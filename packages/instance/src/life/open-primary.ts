/** PostgreSQL is open for writing: the primary side begins, and the instance says that it is primary. */
import type { EngineStarted } from '@mirabelle/engine'
import { COORDINATOR_CONTENT } from '@mirabelle/messages'
import type { SettledKnown } from '@mirabelle/wal'
import { replaced } from '../control/connections.ts'
import { PrimarySide } from '../primary/primary-side.actor.ts'
import { pgdataDir } from '../state/layout.ts'
import type { InstanceCore } from './instance-core.ts'

/** `settled`: what the walreceiver knew of statements before the promotion. */
export async function openPrimary(
  core: InstanceCore,
  started: EngineStarted,
  settled: SettledKnown | undefined,
): Promise<void> {
  const { clusterId, content, dbid, wal, ports, walFolders, turns } = core
  const history = await wal.history(ports, walFolders, started.timeline)
  if (core.state !== 'starting' && core.state !== 'promoting') return
  core.generation = started.generation
  core.primary = new PrimarySide({
    ports,
    log: core.log,
    engine: core.engine,
    wal,
    reader: wal.createReader(ports, walFolders),
    hooks: core.hooks,
    state: core.durable,
    identity: { clusterId, content, dbid },
    pgdata: pgdataDir(core.datadir),
    systemIdentifier: core.systemIdentifier,
    timeline: started.timeline,
    history,
    flushLsn: started.lsn,
    settings: () => core.settings,
    peer: () => core.assignment.peer,
    hello: () => core.hello('wal'),
    settled,
    maintenance: core.options.maintenance !== false,
    onReplaced: (reason) => turns.fence(content === COORDINATOR_CONTENT ? replaced(reason) : reason),
    onFatal: (error) => turns.fail(error),
  })
  core.decide({ type: 'engine.primary', timeline: started.timeline })
}
