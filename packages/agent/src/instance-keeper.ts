/**
 * Keeps one instance of the host: spawns it, adopts it, stops it, fences it, and hands out its death certificate.
 * Made by the agent for each instance that it knows; lives as long as the agent. The machine decides what is possible, this file does it.
 */
import {
  diskFullOr,
  diskFullWords,
  MirabelleError,
  type AgentInstanceRow,
  type Assignment,
  type Epoch,
} from '@mirabelle/messages'
import { createDecider, type Decider, type Disk, type Ports, faults } from '@mirabelle/runtime'
import { instanceLogFile } from './agent-config.ts'
import { DISK_FULL_STATUS } from './exit-status.ts'
import { instanceViewMachine } from './instance-view.machine.ts'
import type { Processes, ProcessExit, WatchedProcess } from './process-port.ts'
import { Spare } from './spare-process.ts'

/** How long an orderly stop may take before the process is killed. */
const STOP_LIMIT_MS = { smart: 60_000, fast: 10_000, immediate: 0 } as const
const EXIT_LIMIT_MS = 5_000
/** So much of an instance's log is looked at for its last words, bytes. */
const LOG_TAIL_BYTES = 4_096

export type StopMode = keyof typeof STOP_LIMIT_MS

export interface KeeperOptions {
  readonly ports: Ports
  readonly processes: Processes
  /** The program that hosts an instance. */
  readonly instanceScript: string
  readonly hostDir: string
  /** Asks the running instance to end (a control message). Rejects when it cannot be reached. */
  readonly askToStop: (assignment: Assignment, mode: StopMode) => Promise<void>
  readonly onExit: (keeper: InstanceKeeper, pid: number, exit: ProcessExit) => void
}

export class InstanceKeeper {
  readonly #options: KeeperOptions
  readonly #decider: Decider<typeof instanceViewMachine>
  #assignment: Assignment
  #process: WatchedProcess | undefined
  /** Starts and stops one after the other; fencing waits only for a spawn under way. */
  #last: Promise<unknown> = Promise.resolve()
  #starting: Promise<unknown> | undefined
  /** How often it was fenced: a start that was asked for before does not come after. */
  #fences = 0
  #lastError: string | null = null
  /** Length of its log when the process was started: what comes behind that it said itself. */
  #saidBefore = 0
  /** Resolves when the last words of the process that ended last are known. */
  #lastWords: Promise<void> = Promise.resolve()
  /** It ran when the agent before this one ended, and was not started since. */
  #waiting = false
  readonly #spare: Spare

  constructor(assignment: Assignment, options: KeeperOptions) {
    this.#assignment = assignment
    this.#options = options
    const subject = { dbid: assignment.dbid, content: assignment.content }
    this.#decider = createDecider(instanceViewMachine, {
      log: options.ports.log,
      subject: { actor: 'instance-view', ...subject },
    })
    const { ports, processes, instanceScript, hostDir } = options
    const args = ['--host-dir', hostDir, '--spare']
    this.#spare = new Spare(ports.clock, ports.log, () =>
      processes.spare?.(instanceScript, args, instanceLogFile(this.#assignment.datadir)),
    )
  }

  get assignment(): Assignment {
    return this.#assignment
  }
  get running(): boolean {
    return this.#process !== undefined
  }
  get waiting(): boolean {
    return this.#waiting
  }
  get pid(): number | null {
    return this.#process?.pid ?? null
  }
  /** Resolves when it is known why the last process ended: who sees that it is gone is to be told that, too. */
  get lastWords(): Promise<void> {
    return this.#lastWords
  }
  /** What is known without its folder. */
  row(): Omit<AgentInstanceRow, 'promisedEpoch' | 'dataRole'> {
    const { dbid, content, datadir, listen } = this.#assignment
    return {
      dbid,
      content,
      pid: this.pid,
      state: this.#decider.state,
      datadir,
      lastError: this.#lastError,
      endpoint: listen,
      waiting: this.#waiting,
    }
  }

  /** It ran under an earlier agent and does not run now: it waits for the word of whoever rules. */
  markWaiting(): void {
    this.#waiting = true
  }

  /** A process of an earlier agent was found. */
  adopt(process: WatchedProcess): void {
    this.#decider.dispatch({ type: 'ADOPTED' })
    this.#watch(process)
  }

  /**
   * Looks for a process that holds its folder and is not known here: an agent before this one had just started it when this one looked, or what that one knew was lost.
   */
  async #findProcess(datadir = this.#assignment.datadir): Promise<void> {
    if (this.#decider.state !== 'stopped') return
    const { processes, ports } = this.#options
    const { dbid, content } = this.#assignment
    const pid = await processes.holderOf(datadir).catch((error: unknown) => {
      ports.log.warn({ dbid, err: error }, `nobody knows who holds ${datadir}`)
      return undefined
    })
    const process = pid === undefined ? undefined : processes.adopt(pid)
    if (process === undefined || this.#decider.state !== 'stopped') return
    ports.log.info({ dbid, content, pid }, 'adopted an instance that was running unknown')
    this.adopt(process)
  }

  #requireStopped(): void {
    if (this.#process === undefined) return
    throw new MirabelleError('busy', `dbid ${this.#assignment.dbid} runs as pid ${this.pid}; stop it first`)
  }

  /** Does something to its folder. What is being started is waited for, and nothing is started meanwhile. Rejects with `busy` while its process is there. */
  whileStopped(work: () => Promise<void>): Promise<void> {
    return this.#serial(async () => {
      await this.#findProcess()
      this.#requireStopped()
      await work()
    })
  }

  /** Its folder is made, for this assignment. Rejects as `whileStopped` and `make` do. */
  create(assignment: Assignment, make: () => Promise<void>): Promise<void> {
    return this.whileStopped(async () => {
      await make()
      this.#assignment = assignment
      this.#lastError = null
      this.#waiting = false
    })
  }

  /** It is about to be started: its process is made ahead, beside one that runs still. */
  prepare(): void {
    this.#spare.prepare()
  }

  /** It is not going to be started. */
  unprepare(): void {
    this.#spare.drop()
  }

  /** Starts the process with the assignment; one that runs already is left as it is. Resolves with its pid. */
  start(assignment: Assignment): Promise<number> {
    const fences = this.#fences
    return this.#serial(async () => {
      await this.#findProcess(assignment.datadir)
      if (this.#process !== undefined) return this.#process.pid
      const starting = this.#start(assignment, fences)
      this.#starting = starting.catch(() => undefined) // told to the one who asked
      return starting.finally(() => {
        this.#starting = undefined
      })
    })
  }

  async #start(assignment: Assignment, fences: number): Promise<number> {
    this.#assignment = assignment
    const { ports, processes, instanceScript, hostDir } = this.#options
    const startFile = `${assignment.datadir}/start.json`
    if (!(await ports.disk.exists(assignment.datadir))) {
      throw new MirabelleError(
        'datadir.broken',
        `dbid ${assignment.dbid}: the folder ${assignment.datadir} does not exist`,
      )
    }
    if (faults !== undefined) await faults.at('agent.start.begin', assignment)
    await this.#writeStartFile(startFile, assignment)
    if (faults !== undefined) await faults.at('agent.start.written', assignment)
    if (fences !== this.#fences) {
      throw new MirabelleError(
        'busy',
        `dbid ${assignment.dbid}: it was fenced while it was to start; start it again if it should run`,
      )
    }
    this.#lastError = null
    this.#decider.dispatch({ type: 'START' })
    try {
      const spare = await this.#spare.take()
      spare?.begin(startFile)
      const process =
        spare ??
        (await processes.spawn(
          instanceScript,
          ['--host-dir', hostDir, '--start', startFile],
          instanceLogFile(assignment.datadir),
        ))
      this.#decider.dispatch({ type: 'SPAWNED' })
      this.#watch(process)
      if (faults !== undefined) await faults.at('agent.start.spawned', assignment)
      return process.pid
    } catch (error) {
      this.#decider.dispatch({ type: 'EXITED' })
      throw error
    }
  }

  async #writeStartFile(path: string, assignment: Assignment): Promise<void> {
    const { disk } = this.#options.ports
    try {
      await disk.writeFileDurable(path, `${JSON.stringify(assignment, null, 2)}\n`)
      this.#saidBefore = await sizeOf(disk, instanceLogFile(assignment.datadir))
    } catch (error) {
      throw diskFullOr(error, assignment.datadir)
    }
  }

  /** Stops the process: asks it first unless the mode is immediate, kills it after the limit. Resolves with whether one ran. */
  stop(mode: StopMode): Promise<boolean> {
    return this.#serial(async () => {
      this.#waiting = false
      await this.#findProcess()
      const process = this.#process
      if (process === undefined) return false
      if (faults !== undefined) await faults.at('agent.stop.begin', this.#assignment)
      this.#decider.dispatch({ type: 'STOP' })
      if (mode !== 'immediate') {
        const asked = await this.#options.askToStop(this.#assignment, mode).then(
          () => true,
          (error: unknown) => {
            this.#options.ports.log.warn(
              { dbid: this.#assignment.dbid, err: error },
              'the instance could not be asked to stop',
            )
            return false
          },
        )
        if (asked && (await this.#exitsWithin(process, STOP_LIMIT_MS[mode]))) return this.#stopped()
      }
      await this.#killAndWait(process)
      return this.#stopped()
    })
  }

  async #stopped(): Promise<true> {
    if (faults !== undefined) await faults.at('agent.stop.ended', this.#assignment)
    return true
  }

  /**
   * Kills the process at once, whatever else is under way, and voids the starts that were asked for before. Resolves when it is gone. Rejects with `epoch.stale` when a
   * coordinator of a later epoch has started it: what the one that asks knows is out of date. 0: no coordinator asks.
   */
  async fence(epoch: Epoch = 0): Promise<boolean> {
    const { dbid, epoch: startedIn } = this.#assignment
    if (epoch !== 0 && epoch < startedIn)
      throw new MirabelleError(
        'epoch.stale',
        `a fence of epoch ${epoch} is refused: dbid ${dbid} was started in epoch ${startedIn}`,
        { detail: { epoch: startedIn } },
      )
    this.#fences++
    this.#waiting = false
    this.#spare.drop()
    await this.#starting
    await this.#findProcess()
    const process = this.#process
    if (process === undefined) return false
    this.#decider.dispatch({ type: 'FENCE' })
    await this.#killAndWait(process)
    return true
  }

  async #killAndWait(process: WatchedProcess): Promise<void> {
    process.kill('SIGKILL')
    if (await this.#exitsWithin(process, EXIT_LIMIT_MS)) return
    throw new MirabelleError(
      'timeout',
      `dbid ${this.#assignment.dbid}: pid ${process.pid} did not end within ${EXIT_LIMIT_MS} ms of SIGKILL`,
    )
  }

  #exitsWithin(process: WatchedProcess, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#options.ports.clock.setTimer(limitMs, () => {
        resolve(false)
      })
      void process.exited.then(() => {
        timer.clear()
        resolve(true)
      })
    })
  }

  #watch(process: WatchedProcess): void {
    this.#process = process
    this.#waiting = false
    void process.exited.then((exit) => {
      if (this.#process !== process) return
      this.#process = undefined
      // Nobody of this cluster asked for that: the system ran out of memory, or a human did it.
      if (exit.signal !== null && this.#decider.state === 'running')
        this.#lastError = `killed by ${exit.signal}`
      this.#decider.dispatch({ type: 'EXITED' })
      this.#options.onExit(this, process.pid, exit)
      if (exit.code !== null && exit.code !== 0) this.#lastWords = this.#readLastError(exit.code)
    })
  }

  /** What the process said last is why it ended. */
  async #readLastError(code: number): Promise<void> {
    const { ports } = this.#options
    const { dbid, content, datadir } = this.#assignment
    const path = instanceLogFile(datadir)
    let said = ''
    try {
      said = await lastLine(ports.disk, path, this.#saidBefore)
    } catch (error) {
      ports.log.warn({ dbid, err: error }, `${path} cannot be read`)
    }
    const reason = said === '' ? wordsOf(code, datadir) : said
    if (this.#process === undefined) this.#lastError = reason
    ports.log.error({ dbid, content, code }, `the instance ended: ${reason}`)
  }

  #serial<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(task)
    this.#last = done.catch(() => undefined) // told to the one who asked
    return done
  }
}

/** The last line that a log has from there on; empty when there is none. */
async function lastLine(disk: Disk, path: string, from: number): Promise<string> {
  const file = await disk.open(path, 'r')
  try {
    const size = await file.size()
    const length = Math.min(Math.max(0, size - from), LOG_TAIL_BYTES)
    const text = Buffer.from(await file.read(size - length, length)).toString('utf8')
    return text.trimEnd().split('\n').at(-1)?.trim() ?? ''
  } finally {
    await file.close()
  }
}

/** What an exit status says of an instance that could not write a word. */
function wordsOf(code: number, datadir: string): string {
  return code === DISK_FULL_STATUS
    ? diskFullWords(datadir)
    : `exit status ${code}, see ${instanceLogFile(datadir)}`
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  if (!(await disk.exists(path))) return 0
  const file = await disk.open(path, 'r')
  try {
    return await file.size()
  } finally {
    await file.close()
  }
}
