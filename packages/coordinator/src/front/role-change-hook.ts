/**
 * Tells a program of the administrator (`role_change_command`) which role an instance of content -1 has taken up, so that a virtual address can follow
 * the coordinator (replication §5; Patroni: on_role_change).
 *
 * Made by the coordinator actor, ended with its process. Promises: nothing ever waits for the program; one runs at a time, and it is the one that
 * was told of the newest role; the same role is not told twice.
 */
import type { InstanceActor, RoleChange } from '@mirabelle/instance'
import type { Logger } from '@mirabelle/runtime'

/** `none`: the instance serves nobody any more, because it was stopped, replaced or has failed. */
export type TakenRole = 'coordinator' | 'standby' | 'none'

/** What the program hears, as arguments (role, host, port) and as `MIRABELLE_…` in its environment. */
export interface RoleChangeFacts {
  readonly role: TakenRole
  /** The host's name in the catalog. */
  readonly host: string
  readonly address: string
  /** The port for clients. */
  readonly port: number
  readonly dbid: number
  /** The highest epoch that the instance has promised. */
  readonly epoch: number
  readonly clusterId: string
}

/** A program that was started. */
export interface RoleChangeRun {
  /** Resolves with how it ended, in words: it ran to its end, failed, or was killed. Never rejects. */
  readonly ended: Promise<string>
  /** Kills it with everything that it started. */
  kill(): void
}

export interface RoleChangeHookOptions {
  readonly command: () => string
  readonly facts: () => Omit<RoleChangeFacts, 'role'>
  /** Starts the program in this very turn, so that a process that ends next has started it. Throws when the system refuses. */
  readonly run: (command: string, facts: RoleChangeFacts) => RoleChangeRun
  readonly log: Logger
}

/**
 * The role that a state of the instance stands for; undefined on the way from one to another. A primary is coordinator only when it lets clients in,
 * which the state does not say.
 */
export function takenRole(state: RoleChange['to']): TakenRole | undefined {
  switch (state) {
    case 'mirror':
    case 'copying':
    case 'unfit':
      return 'standby'
    case 'fenced':
    case 'stopping':
    case 'stopped':
    case 'failed':
      return 'none'
    default:
      return undefined
  }
}

/** The hook of an instance. */
export function roleHookOf(instance: InstanceActor, run: RoleChangeHookOptions['run']): RoleChangeHook {
  return new RoleChangeHook({
    run,
    log: instance.log,
    command: () => instance.settings().role_change_command,
    facts: () => {
      const { assignment, epoch, clusterId } = instance
      const { dbid, hostname, sqlPort, listen } = assignment
      return {
        host: hostname,
        address: listen.addresses[0] ?? hostname,
        port: sqlPort,
        dbid,
        epoch,
        clusterId,
      }
    },
  })
}

export class RoleChangeHook {
  readonly #options: RoleChangeHookOptions
  #role: TakenRole = 'none'
  #running: RoleChangeRun | undefined

  constructor(options: RoleChangeHookOptions) {
    this.#options = options
  }

  /** The instance has taken up this role. Returns at once. */
  took(role: TakenRole): void {
    if (role === this.#role) return
    this.#role = role
    const { command, facts, run, log } = this.#options
    // What it was told is not true any more.
    this.#running?.kill()
    this.#running = undefined
    const text = command()
    if (text === '') return
    try {
      const started = run(text, { ...facts(), role })
      this.#running = started
      void started.ended.then((how) => {
        if (this.#running === started) this.#running = undefined
        log.info({ role, how }, 'role_change_command has ended')
      })
    } catch (error) {
      log.error({ role, err: error }, 'role_change_command could not be started')
    }
  }
}
