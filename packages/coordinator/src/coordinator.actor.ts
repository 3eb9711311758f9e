/**
 * An instance of content -1: coordinator while it is primary, standby coordinator while it is mirror (architecture §3, replication §5).
 *
 * Made by the main of the process; ends as its instance does (`onEnd`). The instance knows roles and WAL, the service knows the cluster,
 * the front door and the sessions know clients; this file joins them. Promise: clients are let in only while the service stands.
 */
import {
  InstanceActor,
  type CopyFromPeer,
  type InstanceHooks,
  type InstanceOptions,
} from '@mirabelle/instance'
import type { EnginePort } from '@mirabelle/engine'
import {
  INITIAL_CLUSTER_SETTING,
  MirabelleError,
  PROVE_EPOCH_SETTING,
  RECLAIM_SETTING,
  type Assignment,
  type Message,
} from '@mirabelle/messages'
import type { FrontDoor, ShutdownMode } from '@mirabelle/pgwire'
import { delay, faults, type Ports, type Responder } from '@mirabelle/runtime'
import { createSqlCatalogStore } from './catalog/sql-catalog-store.ts'
import type { ClusterSnapshot } from './catalog/cluster-catalog.ts'
import { notReady, openCoordinatorDoor } from './front/coordinator-door.ts'
import { CoordinatorService } from './ha/coordinator-service.ts'
import { quietLocalLane } from './ha/quiet-local.ts'
import { queryMessage } from './lanes/frontend-bytes.ts'
import { openLocalBackend, TAG_BEFORE_LANES } from './lanes/local-backend.ts'
import type { LaneResult } from './lanes/lane-item.ts'
import type { LaneUser } from './lanes/lane-queue.ts'
import {
  roleHookOf,
  takenRole,
  type RoleChangeHook,
  type RoleChangeHookOptions,
} from './front/role-change-hook.ts'
import { showSetting } from './front/show-setting.ts'
import { readSystemSchema } from './schema/read-schema.ts'
import type { SystemSchemaJson } from './schema/schema-sql.ts'
import { createSqlFrontend, type SqlFrontend } from './session/sql-frontend.ts'
import { claimEpoch, refuseWhenStale, refuseWhileCoordinatorLives } from './standby/activation-checks.ts'
import { refreshSql } from './views/live-views.ts'

const LANES_OPEN_MS = 3_000
const CANCEL_GRACE_MS = 200
const LEAVE_MS = 2_000 // of sessions, in a fast stop: what they wait for may be stopped already

export interface CoordinatorOptions {
  readonly ports: Ports
  readonly clusterId: string
  readonly assignment: Assignment
  readonly engine: EnginePort
  readonly version: string
  /** Addresses for clients. */
  readonly sqlHost: string
  readonly onEnd: InstanceHooks['onEnd']
  readonly copyFromPeer?: CopyFromPeer
  readonly onCopy?: InstanceHooks['onCopy']
  readonly processInfo?: InstanceOptions['processInfo']
  /** Runs `role_change_command`. Without it nobody is told of roles. */
  readonly runRoleChangeCommand?: RoleChangeHookOptions['run']
}

export class Coordinator {
  readonly instance: InstanceActor
  readonly #options: CoordinatorOptions
  #service: CoordinatorService | undefined
  #frontend: SqlFrontend | undefined
  #door: FrontDoor | undefined
  #activating: Promise<Message> | undefined
  #serving: Promise<void> | undefined
  #stopping = false
  readonly #roleHook: RoleChangeHook | undefined

  constructor(options: CoordinatorOptions) {
    this.#options = options
    this.instance = new InstanceActor({
      ports: options.ports,
      clusterId: options.clusterId,
      assignment: options.assignment,
      engine: options.engine,
      hooks: this.#hooks(),
      ...(options.processInfo === undefined ? {} : { processInfo: options.processInfo }),
    })
    const run = options.runRoleChangeCommand
    if (run !== undefined) this.#roleHook = roleHookOf(this.instance, run)
  }

  /** Resolves when clients are let in (coordinator) or WAL is replayed (standby). */
  async start(): Promise<void> {
    const { ports, assignment, sqlHost } = this.#options
    this.#door = await openCoordinatorDoor({
      ports,
      assignment,
      sqlHost,
      clusterSettings: () => this.#service?.topology.settings,
      settings: () => this.instance.settings(),
      frontend: () => this.#frontend,
    })
    await this.instance.start()
    await this.#serving
  }

  async stop(mode: ShutdownMode): Promise<void> {
    this.#stopping = true
    const left = this.#door?.shutdown(mode)
    await (mode === 'smart' ? left : Promise.race([left, delay(this.#options.ports.clock, LEAVE_MS)]))
    await this.#service?.close(new MirabelleError('not.ready', 'the coordinator is stopping'))
    this.#service = undefined
    await left
    await this.instance.stop(mode)
  }

  #hooks(): InstanceHooks {
    const { ports, onEnd, copyFromPeer, onCopy } = this.#options
    return {
      onEnd: (error) => {
        const reason = error ?? new MirabelleError('not.ready', 'the coordinator has stopped')
        void this.#service?.close(reason)
        void this.#door?.shutdown('immediate')
        onEnd(error)
      },
      onRole: (change) => {
        const taken = takenRole(change.to)
        if (taken !== undefined) this.#roleHook?.took(taken)
        if (change.to === 'primary' && !this.#stopping) {
          this.#serving = this.#serve()
          this.#serving.catch((error: unknown) => this.instance.fail(error))
        } else if (change.from === 'primary') {
          this.#door?.setNotReady(notReady('the database system is shutting down'))
          this.#door?.terminateAll()
          void this.#service?.close(
            new MirabelleError('not.primary', `the coordinator is ${change.to}: ${change.reason}`),
          )
        }
      },
      onControl: (_connection, message, respond) => this.#control(message, respond),
      onStream: (dbid, state) => this.#service?.streamIs(dbid, state),
      markStandby: (stale) =>
        this.#service === undefined
          ? Promise.reject(new MirabelleError('not.ready', 'the coordinator is starting'))
          : this.#service.markStandby(stale),
      quietLane: quietLocalLane(ports.clock, () => this.#service?.dispatcher),
      ...(copyFromPeer === undefined ? {} : { copyFromPeer }),
      ...(onCopy === undefined ? {} : { onCopy }),
    }
  }

  /** Runs SQL straight on the engine: only before the lanes exist. */
  #read(sql: string): Promise<LaneResult> {
    return this.instance.engine.submit({ bytes: queryMessage(sql), syncs: 1, tag: TAG_BEFORE_LANES })
  }

  async #write(sql: string): Promise<LaneResult> {
    const result = await this.#read(sql)
    // Nobody has been told anything yet and no standby can be connected: durable here is all there is to wait for.
    await this.instance.engine.syncWal()
    return result
  }

  async #serve(): Promise<void> {
    const { ports, assignment, version } = this.#options
    const instance = this.instance
    // A standby that has taken over has no standby of its own, and starts as primary from now on.
    if (assignment.role === 'm') await instance.reassign({ ...instance.assignment, role: 'p', peer: null })
    const takesOver = assignment.role === 'm'
    if (takesOver && faults !== undefined) await faults.at('activation.promoted')
    let write = (sql: string) => this.#write(sql)
    let systemSchema: Promise<SystemSchemaJson> | undefined
    const initialText = instance.assignment.settings[INITIAL_CLUSTER_SETTING]
    const service = await CoordinatorService.begin(
      {
        ports: { ...ports, log: instance.log },
        ownDbid: assignment.dbid,
        takesOver: assignment.role === 'm',
        proveEpoch: assignment.settings[PROVE_EPOCH_SETTING] === 'on',
        reclaims: assignment.settings[RECLAIM_SETTING] === 'on',
        version,
        store: createSqlCatalogStore({ read: (sql) => this.#read(sql), write: (sql) => write(sql) }),
        whileOthersPromise: () => {
          systemSchema = readSystemSchema((sql) => this.#read(sql))
          systemSchema.catch(() => undefined) // told to the front end, which waits for it
        },
        openLocal: (events) =>
          Promise.resolve(
            openLocalBackend(
              {
                engine: instance.engine,
                generation: instance.generation,
                cancelGraceMs: CANCEL_GRACE_MS,
                whenDurable: (lsn, then) => {
                  instance.gate?.wait(lsn, (error) => {
                    if (error === undefined) then()
                  })
                },
              },
              events,
            ),
          ),
        ownStatus: () => instance.status(),
        lookAtOwnDisk: () => instance.lookAtDisk(),
        promisedEpoch: () => instance.epoch,
        promiseEpoch: (epoch) => instance.raiseEpoch(epoch),
        configureOwn: (texts) => instance.configure(texts),
        setPeer: (peer) => instance.reassign({ ...instance.assignment, peer }),
        onSuperseded: (reason) => {
          instance.fail(
            new MirabelleError(
              'epoch.stale',
              `Standby activated, this node no more can act as coordinator: ${reason}`,
            ),
          )
        },
        onShutdownNeeded: (reason) => {
          ports.log.error(
            { reason },
            'a segment without mirror is down: the cluster shuts down (mirrorless_policy)',
          )
          void this.#shutdownCluster('fast')
        },
      },
      initialText === undefined ? undefined : (JSON.parse(initialText) as ClusterSnapshot),
      (sql) => this.#write(sql),
    )
    this.#service = service
    const shown = { cluster: () => service.liveState(), sessions: () => frontend.activities() }
    const frontend: SqlFrontend = createSqlFrontend({
      dispatcher: service.dispatcher,
      ports: { ...ports, log: instance.log },
      superuser: 'postgres',
      ...(systemSchema === undefined ? {} : { systemSchema }),
      hooks: {
        settings: () => service.topology.settings,
        showSetting: (name) => showSetting(service.topology, assignment, name),
        settingRows: () => service.settings.rows(),
        configure: (change) => service.settings.change(change),
        refreshLiveViews: (relations) => refreshSql(relations, shown),
        requestFtsScan: () => service.fts.requestScan(),
        signal: (pid, how) => this.#door?.[how](pid) ?? false,
      },
    })
    this.#frontend = frontend
    write = (sql) =>
      service.dispatcher.runUrgent(sql, (holder: LaneUser | undefined) => frontend.preemptLocal(holder))
    if (takesOver && faults !== undefined) await faults.at('activation.service')
    service.openLanes()
    if (takesOver && faults !== undefined) await faults.at('activation.lanes')
    if (assignment.role === 'm') service.watch()
    else await this.#startInstances(service)
    await frontend.start()
    await service.dispatcher.whenOpen(ports.clock, LANES_OPEN_MS).catch((error: unknown) => {
      // The others can serve; statements for this content wait or say why.
      instance.log.warn({ err: error }, 'clients are let in although not every lane is open')
    })
    if (assignment.role === 'p') service.watch()
    this.#door?.setNotReady(undefined)
    if (takesOver && faults !== undefined) await faults.at('activation.open')
    instance.log.info(
      { epoch: service.topology.epoch, incarnation: service.incarnation },
      'the coordinator accepts clients',
    )
    this.#roleHook?.took('coordinator')
  }

  async #startInstances(service: CoordinatorService): Promise<void> {
    for (const result of await service.startInstances()) {
      if (result.outcome !== 'done') this.instance.log.warn({ ...result }, 'an instance was not started')
    }
  }

  #control(message: Message, respond: Responder | undefined): boolean {
    if (message.type === 'standby.activate') {
      this.#activating ??= this.#activate(message.force).finally(() => {
        this.#activating = undefined
      })
      answer(this.#activating, respond)
      return true
    }
    if (message.type === 'cluster.stop') {
      answer(
        this.#stopSegments(message.mode).then((): Message => {
          this.#options.ports.clock.setTimer(20, () => void this.stop(message.mode))
          return { type: 'ok' }
        }),
        respond,
      )
      return true
    }
    const service = this.#service
    if (service === undefined) return false
    return service.control(message, respond)
  }

  async #stopSegments(mode: ShutdownMode): Promise<void> {
    this.#door?.setNotReady(notReady('the database system is shutting down'))
    if (mode === 'smart') await this.#door?.shutdown('smart')
    else this.#door?.terminateAll()
    await this.#service?.stopWatching()
    await this.#service?.stopInstances(mode)
  }

  async #shutdownCluster(mode: ShutdownMode): Promise<void> {
    await this.#stopSegments(mode)
    await this.stop(mode)
  }

  /** Takes over as coordinator. Running it again after an interruption finishes what was begun. */
  async #activate(force: boolean): Promise<Message> {
    const { ports } = this.#options
    const started = ports.clock.monotonic()
    const { instance } = this
    if (instance.roleState === 'mirror') {
      if (!force) {
        const hello = instance.hello('control')
        const [, promised] = await Promise.all([
          refuseWhileCoordinatorLives(ports, hello, instance.assignment),
          refuseWhenStale(ports, hello, instance.assignment, instance.epoch),
        ])
        if (faults !== undefined) await faults.at('activation.checked')
        const epoch = promised + 1
        await claimEpoch(ports, hello, instance.assignment, epoch)
        if (faults !== undefined) await faults.at('activation.claimed')
        await instance.raiseEpoch(epoch)
        if (faults !== undefined) await faults.at('activation.promised')
      }
      instance.log.warn({ force }, 'activating the standby coordinator')
      const promoted = this.#whenPrimary()
      instance.requestPromote()
      await promoted
    } else if (instance.roleState !== 'primary' && instance.roleState !== 'promoting') {
      throw new MirabelleError(
        'not.mirror',
        `dbid ${instance.dbid} is ${instance.roleState}: it cannot be activated now`,
      )
    }
    await this.#whenPrimary()
    await this.#serving
    return {
      type: 'standby.activated',
      epoch: this.#service?.topology.epoch ?? 0,
      timeline: instance.timeline,
      port: this.#door?.address.port ?? 0,
      elapsedMs: Math.round(ports.clock.monotonic() - started),
    }
  }

  #whenPrimary(): Promise<void> {
    const { clock } = this.#options.ports
    return new Promise((resolve, reject) => {
      const look = () => {
        const state = this.instance.roleState
        if (state === 'primary' && this.#serving !== undefined) resolve()
        else if (state === 'failed' || state === 'stopping' || state === 'stopped') {
          reject(
            new MirabelleError(
              'not.ready',
              `dbid ${this.instance.dbid} is ${state}: ${this.instance.reason}`,
            ),
          )
        } else clock.setTimer(5, look)
      }
      look()
    })
  }
}

function answer(reply: Promise<Message>, respond: Responder | undefined): void {
  reply.then(
    (message) => {
      ;(respond as Responder | undefined)?.reply(message as never)
    },
    (error: unknown) => respond?.fail(error),
  )
}
