/**
 * The agent of a host: creates, starts, stops, watches and fences the instances of its host, and tells every coordinator that is connected
 * when one of them dies. Started by `mirabelle start` or a service manager; ended by `agent.shutdown` or SIGTERM.
 *
 * Promise: an `agent.exited` is sent only when the process is gone for certain. Instances outlive the agent; a restarted agent finds them.
 */
import { divergedDir } from '@mirabelle/instance'
import {
  COORDINATOR_CONTENT,
  diskFullOr,
  MirabelleError,
  PROVE_EPOCH_SETTING,
  RECLAIM_SETTING,
  type Assignment,
  type Dbid,
  type Message,
  type MessageOf,
} from '@mirabelle/messages'
import {
  answerFault,
  faults,
  type Connection,
  type Hello,
  type Listener,
  type Party,
  type Ports,
  type Responder,
} from '@mirabelle/runtime'
import { readKnownInstances, type AgentConfig, type KnownInstance } from './agent-config.ts'
import { createInstanceFolder, fillFrom } from './create-instance-folder.ts'
import { inspectFolder } from './inspect-folder.ts'
import { InstancesFile } from './instances-file.ts'
import { canListen, emptyFolder, freeFolder, freePorts } from './offer-place.ts'
import { readPromises } from './read-promises.ts'
import { InstanceKeeper, type KeeperOptions, type StopMode } from './instance-keeper.ts'
import type { Processes, ProcessExit } from './process-port.ts'

const ASK_TIMEOUT_MS = 2_000

export interface AgentOptions {
  readonly ports: Ports
  readonly processes: Processes
  readonly config: AgentConfig
  /** Folder of the host. */
  readonly dir: string
  readonly instanceScript: string
  /** Whoever started it starts the instances, too: after a reboot none starts by itself. */
  readonly attended?: boolean
  /** The agent has shut down. */
  readonly onEnd: () => void
}

export class Agent {
  readonly #options: AgentOptions
  readonly #keepers = new Map<Dbid, InstanceKeeper>()
  readonly #connections = new Set<Connection>()
  #listener: Listener | undefined
  #ending = false
  readonly #file: InstancesFile

  constructor(options: AgentOptions) {
    this.#options = options
    this.#file = new InstancesFile(options.ports, options.dir, () =>
      [...this.#keepers.values()].map((keeper) => ({
        assignment: keeper.assignment,
        wanted: keeper.running || keeper.waiting,
      })),
    )
  }

  /** The port it listens on. */
  get port(): number {
    return this.#listener?.port ?? 0
  }

  async start(): Promise<void> {
    const { ports, config, dir } = this.#options
    const known = await readKnownInstances(ports.disk, dir)
    for (const { assignment } of known) this.#keepers.set(assignment.dbid, this.#makeKeeper(assignment))
    await Promise.all([...this.#keepers.values()].map((keeper) => this.#adopt(keeper)))
    const left = this.#options.attended === true ? [] : this.#left(known)
    for (const keeper of left) keeper.markWaiting()
    this.#listener = await ports.network.listen(
      config.listen,
      () => this.#self(),
      (connection, hello) => this.#accept(connection, hello),
    )
    ports.log.info(
      { hostname: config.hostname, port: this.#listener.port, instances: this.#keepers.size },
      'agent ready',
    )
    await this.#startCoordinator(left)
  }

  /** What ran when the last agent, or the machine, ended, and does not run now. */
  #left(known: readonly KnownInstance[]): InstanceKeeper[] {
    const wanted = new Set(known.filter((one) => one.wanted).map(({ assignment }) => assignment.dbid))
    return [...this.#keepers.values()].filter(
      ({ assignment, running }) => wanted.has(assignment.dbid) && !running,
    )
  }

  /**
   * After a reboot: an instance that was the coordinator starts, but lets nobody in before most of the segments have proved that no other one
   * rules. All others wait for the coordinator, which knows their roles: it may have given them to others meanwhile.
   */
  async #startCoordinator(left: readonly InstanceKeeper[]): Promise<void> {
    const { ports } = this.#options
    for (const keeper of left.filter(({ assignment }) => assignment.content === COORDINATOR_CONTENT)) {
      const { assignment } = keeper
      const { dataRole, promisedEpoch } = await readPromises(ports.disk, assignment.datadir)
      if (dataRole !== 'p') continue
      ports.log.info(
        { dbid: assignment.dbid },
        'this host was started anew: starting its coordinator, which has to prove that it still is one',
      )
      await keeper
        .start({
          ...assignment,
          role: 'p',
          epoch: Math.max(assignment.epoch, promisedEpoch ?? 0),
          settings: { ...assignment.settings, [PROVE_EPOCH_SETTING]: 'on', [RECLAIM_SETTING]: 'off' },
        })
        .catch((error: unknown) =>
          ports.log.error({ dbid: assignment.dbid, err: error }, 'the coordinator was not started'),
        )
    }
  }

  #self(): Party {
    return {
      clusterId: this.#options.config.clusterId,
      kind: 'agent',
      dbid: 0,
      content: -1,
      name: this.#options.config.hostname,
    }
  }

  #makeKeeper(assignment: Assignment): InstanceKeeper {
    const { ports, processes, instanceScript, dir } = this.#options
    const options: KeeperOptions = {
      ports,
      processes,
      instanceScript,
      hostDir: dir,
      askToStop: (target, mode) => this.#askToStop(target, mode),
      onExit: (keeper, pid, exit) => {
        this.#certify(keeper, pid, exit)
      },
    }
    return new InstanceKeeper(assignment, options)
  }

  /**
   * Looks for a process of this instance that an earlier agent had started: whoever holds its folder, be it hung; or, when it has just started
   * and does not hold it yet, whoever answers at its port.
   */
  async #adopt(keeper: InstanceKeeper): Promise<void> {
    const { ports, processes } = this.#options
    const { dbid, content, datadir } = keeper.assignment
    try {
      const pid = (await processes.holderOf(datadir)) ?? (await this.#pidAtPort(keeper.assignment))
      const process = pid === undefined ? undefined : processes.adopt(pid)
      if (process === undefined) return
      keeper.adopt(process)
      ports.log.info({ dbid, content, pid }, 'adopted a running instance')
    } catch (error) {
      ports.log.debug({ dbid, err: error }, 'no running instance to adopt')
    }
  }

  async #pidAtPort(assignment: Assignment): Promise<number | undefined> {
    const connection = await this.#connect(assignment)
    try {
      const status = await connection.request({ type: 'instance.status' }, ASK_TIMEOUT_MS)
      return status.dbid === assignment.dbid ? status.pid : undefined
    } finally {
      connection.close()
    }
  }

  #connect(assignment: Assignment): Promise<Connection> {
    const hello: Hello = { ...this.#self(), purpose: 'control', epoch: 0 }
    return this.#options.ports.network.connect(assignment.listen, hello, {
      timeoutMs: ASK_TIMEOUT_MS,
      silenceTimeoutMs: 0,
    })
  }

  async #askToStop(assignment: Assignment, mode: StopMode): Promise<void> {
    const connection = await this.#connect(assignment)
    try {
      await connection.request({ type: 'instance.stop', mode, epoch: 0 }, ASK_TIMEOUT_MS)
    } finally {
      connection.close()
    }
  }

  #certify(keeper: InstanceKeeper, pid: number, exit: ProcessExit): void {
    const { dbid, content } = keeper.assignment
    this.#options.ports.log.info({ dbid, content, pid, ...exit }, 'instance exited')
    if (exit.code === 0)
      // It was stopped in good order: a reboot does not bring it back.
      this.#file
        .remember()
        .catch((error: unknown) => this.#options.ports.log.error({ err: error }, 'instances.json'))
    for (const connection of this.#connections) {
      connection.send({ type: 'agent.exited', dbid, content, pid, code: exit.code, signal: exit.signal })
    }
  }

  #accept(connection: Connection, hello: Hello): void {
    if (hello.purpose !== 'control') {
      throw new MirabelleError('message.bad', `an agent takes control connections, not ${hello.purpose}`)
    }
    this.#connections.add(connection)
    connection.setHandlers({
      onMessage: (message, respond) => {
        this.#handle(message, respond)
      },
      onClose: () => this.#connections.delete(connection),
    })
  }

  #handle(message: Message, respond: Responder | undefined): void {
    const answer = this.#answer(message) ?? answerFault(message)
    if (answer === undefined)
      throw new MirabelleError('message.bad', `an agent does not take ${message.type}`)
    answer.then(
      (reply) => {
        ;(respond as Responder | undefined)?.reply(reply as never)
      },
      (error: unknown) => respond?.fail(error),
    )
  }

  #answer(message: Message): Promise<Message> | undefined {
    switch (message.type) {
      case 'agent.status':
        return this.#status()
      case 'agent.start':
        return this.#startInstance(message.assignment)
      case 'agent.prepare':
        return this.#prepare(message.dbid)
      case 'agent.stop':
        return this.#stopInstance(message.dbid, (keeper) => keeper.stop(message.mode))
      case 'agent.fence':
        this.#options.ports.log.warn({ dbid: message.dbid, reason: message.reason }, 'fencing an instance')
        return this.#stopInstance(message.dbid, (keeper) => keeper.fence(message.epoch))
      case 'agent.create':
        return this.#create(message)
      case 'agent.offerPlace':
        return this.#offerPlace(message)
      case 'agent.remove':
        return this.#remove(message.dbid)
      case 'agent.inspect':
        return this.#inspect(message)
      case 'agent.discardDiverged':
        return this.#discardDiverged(message.dbid)
      case 'agent.shutdown':
        return this.#shutdown(message.mode)
      default:
        return undefined
    }
  }

  async #status(): Promise<MessageOf<'agent.statusIs'>> {
    const { disk } = this.#options.ports
    const instances = await Promise.all(
      [...this.#keepers.values()].map(async (keeper) => {
        const promises = await readPromises(disk, keeper.assignment.datadir)
        await keeper.lastWords
        return { ...keeper.row(), ...promises }
      }),
    )
    return { type: 'agent.statusIs', hostname: this.#options.config.hostname, pid: process.pid, instances }
  }

  async #startInstance(assignment: Assignment): Promise<Message> {
    if (this.#ending)
      throw new MirabelleError('not.ready', `the agent of ${this.#options.config.hostname} is shutting down`)
    const known = this.#keepers.get(assignment.dbid)
    const keeper = known ?? this.#makeKeeper(assignment)
    this.#keepers.set(assignment.dbid, keeper)
    const pid = await keeper.start(assignment).catch((error: unknown) => {
      // What has no folder here is not an instance of this host: it can still be created.
      if (known === undefined && !keeper.running) this.#keepers.delete(assignment.dbid)
      throw error
    })
    this.#keepers.set(assignment.dbid, keeper)
    await this.#file.remember()
    return { type: 'agent.started', dbid: assignment.dbid, pid }
  }

  /** A coordinator has more modules, and starts where nobody waits for it. */
  async #prepare(dbid: Dbid): Promise<Message> {
    const keeper = this.#keepers.get(dbid)
    if (!this.#ending && keeper !== undefined && keeper.assignment.content !== COORDINATOR_CONTENT)
      keeper.prepare()
    return { type: 'ok' }
  }

  async #stopInstance(dbid: Dbid, end: (keeper: InstanceKeeper) => Promise<boolean>): Promise<Message> {
    const keeper = this.#keepers.get(dbid)
    const wasRunning = keeper === undefined ? false : await end(keeper)
    // It is not to come back by itself after a reboot.
    await this.#file.remember()
    return { type: 'agent.stopped', dbid, wasRunning }
  }

  async #create({ assignment, clusterId, from }: MessageOf<'agent.create'>): Promise<Message> {
    const { ports, config } = this.#options
    const { dbid, content, datadir } = assignment
    const identity = { clusterId, content, dbid, createdAt: ports.clock.now() }
    const fill = () => fillFrom(from, ports.disk, datadir, config.templateDir)
    const known = this.#keepers.get(dbid)
    const keeper = known ?? this.#makeKeeper(assignment)
    this.#keepers.set(dbid, keeper)
    try {
      await keeper.create(assignment, () =>
        createInstanceFolder(ports.disk, datadir, { identity, fill, isCopied: from === 'empty' }),
      )
    } catch (error) {
      if (known === undefined && !keeper.running) this.#keepers.delete(dbid)
      throw diskFullOr(error, datadir)
    }
    await this.#file.remember()
    return { type: 'ok' }
  }

  async #offerPlace(message: MessageOf<'agent.offerPlace'>): Promise<Message> {
    const { ports, config, dir } = this.#options
    const known = [...this.#keepers.values()].map(({ assignment }) => assignment)
    const { addresses } = config.listen
    const isFree = (port: number) => canListen(ports.network, { addresses, port }, this.#self())
    return {
      type: 'agent.placeOffered',
      datadir:
        message.datadir === null
          ? await freeFolder(ports.disk, message.folder, { agentDir: dir, known })
          : await emptyFolder(ports.disk, message.datadir),
      ports: await freePorts(message.ports, { isFree, known }),
    }
  }

  async #remove(dbid: Dbid): Promise<Message> {
    const keeper = this.#keepers.get(dbid)
    if (keeper === undefined) return { type: 'ok' }
    await keeper.whileStopped(async () => {
      keeper.unprepare()
      if (faults !== undefined) await faults.at('agent.remove.begin')
      await this.#options.ports.disk.remove(keeper.assignment.datadir)
      if (faults !== undefined) await faults.at('agent.remove.done')
      this.#keepers.delete(dbid)
    })
    await this.#file.remember()
    return { type: 'ok' }
  }

  async #inspect({ dbid, countFrom }: MessageOf<'agent.inspect'>): Promise<Message> {
    const keeper = this.#keepers.get(dbid)
    const folder = keeper === undefined ? null : await inspectFolder(this.#options.ports, keeper, countFrom)
    return { type: 'agent.inspected', folder }
  }

  async #discardDiverged(dbid: Dbid): Promise<Message> {
    const keeper = this.#keepers.get(dbid)
    if (keeper === undefined) return { type: 'agent.discarded', bytes: 0 }
    const { ports } = this.#options
    const { datadir } = keeper.assignment
    const { divergedBytes } = await inspectFolder(ports, keeper, null)
    if (faults !== undefined) await faults.at('agent.discard.begin')
    await ports.disk.remove(divergedDir(datadir))
    await ports.disk.syncDir(datadir)
    ports.log.info({ dbid, bytes: divergedBytes }, 'diverged WAL was deleted')
    return { type: 'agent.discarded', bytes: divergedBytes }
  }

  async #shutdown(mode: StopMode): Promise<Message> {
    await this.stop(mode)
    // The answer leaves first.
    this.#options.ports.clock.setTimer(50, () => void this.#listener?.close().then(this.#options.onEnd))
    return { type: 'ok' }
  }

  /** Stops all instances of the host. Nothing is started meanwhile, nor afterwards; when it fails the agent goes on as before. */
  async stop(mode: StopMode): Promise<void> {
    this.#ending = true
    for (const keeper of this.#keepers.values()) keeper.unprepare()
    try {
      await Promise.all([...this.#keepers.values()].map((keeper) => keeper.stop(mode)))
      await this.#file.remember()
    } catch (error) {
      this.#ending = false
      throw error
    }
  }
}
