/**
 * An instance of content -1 in the simulation: the real instance actor and the real coordinator service, joined as the coordinator actor joins them, without
 * front door and sessions. Clients of the simulation call the dispatcher. Made by a simulated process; ends as its instance does.
 */
import {
  claimEpoch,
  CoordinatorService,
  openLocalBackend,
  quietLocalLane,
  refuseWhenStale,
  refuseWhileCoordinatorLives,
  type CatalogStore,
  type LaneResult,
} from '@mirabelle/coordinator/ha'
import { InstanceActor, type InstanceHooks, type InstanceOptions, type WalParts } from '@mirabelle/instance'
import { MirabelleError, PROVE_EPOCH_SETTING, type Assignment, type Message } from '@mirabelle/messages'
import type { Ports, Responder } from '@mirabelle/runtime'
import { queryBytes } from './pg-bytes.ts'
import { createSimCatalogStore } from './sim-catalog-store.ts'
import type { SimEngine } from './sim-engine.ts'
import type { SimProcess } from './sim-process.ts'

const OWN_TAG = 2 ** 41
const CANCEL_GRACE_MS = 200
const LANES_OPEN_MS = 3_000
/** What ends by itself within this time makes no way. */
const PREEMPT_GRACE_MS = 20

export interface SimCoordinatorOptions {
  readonly process: SimProcess
  readonly ports: Ports
  readonly clusterId: string
  readonly assignment: Assignment
  readonly engine: SimEngine
  readonly wal: WalParts
  readonly copyFromPeer: NonNullable<InstanceOptions['hooks']['copyFromPeer']>
  readonly buildBase: NonNullable<InstanceHooks['buildBase']>
  readonly onEnd: InstanceHooks['onEnd']
  /** It was the standby and is primary now. */
  readonly onTakenOver: (coordinator: SimCoordinator) => void
  readonly processInfo: NonNullable<InstanceOptions['processInfo']>
  /** Mutants put something between service and catalog here. */
  readonly wrapStore: (store: CatalogStore) => CatalogStore
}

export class SimCoordinator {
  readonly instance: InstanceActor
  readonly process: SimProcess
  readonly engine: SimEngine
  readonly #options: SimCoordinatorOptions
  #service: CoordinatorService | undefined
  #serving: Promise<void> | undefined
  #activating: Promise<Message> | undefined
  /** Clients are let in. */
  open = false
  /** Statements on the coordinator's own lane that wait for others, and how each makes way for a role change, as sessions do. */
  readonly #local = new Set<() => void>()

  constructor(options: SimCoordinatorOptions) {
    this.#options = options
    this.process = options.process
    this.engine = options.engine
    this.instance = new InstanceActor({
      ports: options.ports,
      clusterId: options.clusterId,
      assignment: options.assignment,
      engine: options.engine,
      wal: options.wal,
      hooks: this.#hooks(),
      maintenance: false,
      processInfo: options.processInfo,
    })
  }

  get service(): CoordinatorService | undefined {
    return this.#service
  }

  async start(): Promise<void> {
    await this.instance.start()
    await this.#serving
  }

  async stop(mode: 'smart' | 'fast' | 'immediate'): Promise<void> {
    this.open = false
    await this.#service?.close(new MirabelleError('not.ready', 'the coordinator is stopping'))
    this.#service = undefined
    await this.instance.stop(mode)
  }

  #hooks(): InstanceHooks {
    const { ports, assignment, onEnd, onTakenOver, copyFromPeer, buildBase } = this.#options
    return {
      onEnd: (error) => {
        this.open = false
        void this.#service?.close(error ?? new MirabelleError('not.ready', 'the coordinator has stopped'))
        onEnd(error)
      },
      onRole: (change) => {
        if (change.to === 'primary') {
          if (assignment.role === 'm') onTakenOver(this)
          this.#serving = this.#serve()
          this.#serving.catch((error: unknown) => this.instance.fail(error))
        } else if (change.from === 'primary') {
          this.open = false
          void this.#service?.close(new MirabelleError('not.primary', `the coordinator is ${change.to}`))
        }
      },
      onControl: (_connection, message, respond) => this.#control(message, respond),
      markStandby: (stale) =>
        this.#service === undefined
          ? Promise.reject(new MirabelleError('not.ready', 'the coordinator is starting'))
          : this.#service.markStandby(stale),
      quietLane: quietLocalLane(ports.clock, () => this.#service?.dispatcher),
      copyFromPeer,
      buildBase,
    }
  }

  #read(sql: string): Promise<LaneResult> {
    return this.instance.engine.submit({ bytes: queryBytes(sql), syncs: 1, tag: OWN_TAG })
  }

  async #write(sql: string): Promise<LaneResult> {
    const result = await this.#read(sql)
    await this.instance.gate?.passed(result.lsn)
    return result
  }

  async #serve(): Promise<void> {
    const { ports, assignment, wrapStore } = this.#options
    const { instance } = this
    // A standby that has taken over has no standby of its own, and starts as primary from now on.
    if (assignment.role === 'm') await instance.reassign({ ...instance.assignment, role: 'p', peer: null })
    let write = (sql: string) => this.#write(sql)
    const service = await CoordinatorService.begin(
      {
        ports: { ...ports, log: instance.log },
        ownDbid: assignment.dbid,
        takesOver: assignment.role === 'm',
        proveEpoch: assignment.settings[PROVE_EPOCH_SETTING] === 'on',
        version: 'simulation',
        store: wrapStore(
          createSimCatalogStore({ read: (sql) => this.#read(sql), write: (sql) => write(sql) }),
        ),
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
        onShutdownNeeded: () => undefined,
      },
      undefined,
      () => Promise.reject(new MirabelleError('internal', 'a simulated cluster is made with its catalog')),
    )
    this.#service = service
    write = (sql) => service.dispatcher.runUrgent(sql, () => this.#preempt())
    service.openLanes()
    if (assignment.role === 'm') service.watch()
    else await service.startInstances()
    await service.dispatcher.whenOpen(ports.clock, LANES_OPEN_MS).catch(() => undefined) // the others can serve
    if (assignment.role === 'p') service.watch()
    this.open = true
    instance.log.info({ epoch: service.topology.epoch }, 'the coordinator accepts clients')
  }

  /** A statement that may hold the coordinator's lane begins; call what comes back when it has ended. */
  enterLocal(makeWay: () => void): () => void {
    this.#local.add(makeWay)
    return () => this.#local.delete(makeWay)
  }

  #preempt(): void {
    const there = [...this.#local]
    if (there.length === 0) return
    this.#options.ports.clock.setTimer(PREEMPT_GRACE_MS, () => {
      for (const makeWay of there) if (this.#local.has(makeWay)) makeWay()
    })
  }

  #control(message: Message, respond: Responder | undefined): boolean {
    if (message.type === 'standby.activate') {
      this.#activating ??= this.#activate(message.force).finally(() => {
        this.#activating = undefined
      })
      this.#activating.then(
        (reply) => respond?.reply(reply as never),
        (error: unknown) => respond?.fail(error),
      )
      return true
    }
    if (message.type === 'cluster.stop') {
      this.#stopSegments(message.mode).then(
        () => {
          this.#options.ports.clock.setTimer(20, () => void this.stop(message.mode))
          respond?.reply({ type: 'ok' } as never)
        },
        (error: unknown) => respond?.fail(error),
      )
      return true
    }
    return this.#service?.control(message, respond) ?? false
  }

  async #stopSegments(mode: 'smart' | 'fast' | 'immediate'): Promise<void> {
    this.open = false
    await this.#service?.stopWatching()
    await this.#service?.stopInstances(mode)
  }

  async #activate(force: boolean): Promise<Message> {
    const { ports } = this.#options
    const { instance } = this
    const begunAt = ports.clock.monotonic()
    if (instance.roleState === 'mirror') {
      if (!force) {
        const hello = instance.hello('control')
        const [, promised] = await Promise.all([
          refuseWhileCoordinatorLives(ports, hello, instance.assignment),
          refuseWhenStale(ports, hello, instance.assignment, instance.epoch),
        ])
        const epoch = promised + 1
        await claimEpoch(ports, hello, instance.assignment, epoch)
        await instance.raiseEpoch(epoch)
      }
      instance.requestPromote()
    } else if (instance.roleState !== 'primary' && instance.roleState !== 'promoting')
      throw new MirabelleError('not.mirror', `dbid ${instance.dbid} is ${instance.roleState}`)
    await this.#whenPrimary()
    await this.#serving
    return {
      type: 'standby.activated',
      epoch: this.#service?.topology.epoch ?? 0,
      timeline: instance.timeline,
      port: 0,
      elapsedMs: Math.round(ports.clock.monotonic() - begunAt),
    }
  }

  #whenPrimary(): Promise<void> {
    const { clock } = this.#options.ports
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const state = this.instance.roleState
        if (state === 'primary' && this.#serving !== undefined) resolve()
        else if (state === 'failed' || state === 'stopping' || state === 'stopped')
          reject(new MirabelleError('not.ready', `dbid ${this.instance.dbid} is ${state}`))
        else clock.setTimer(5, look)
      }
      look()
    })
  }
}
