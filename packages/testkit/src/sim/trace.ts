/** The story of a run: one line for each thing that happened. Kept only when asked for; the lines of two runs of one seed are equal. */
import { silentLogger, type Logger } from '@mirabelle/runtime'

export class Trace {
  readonly enabled: boolean
  readonly lines: string[] = []
  readonly #now: () => number

  constructor(now: () => number, enabled: boolean) {
    this.#now = now
    this.enabled = enabled
  }

  /** Adds a line. Who makes the text asks `enabled` first when that is costly. */
  add(who: string, what: string): void {
    if (this.enabled) this.lines.push(`${this.#now().toFixed(3).padStart(10)} ${who.padEnd(8)} ${what}`)
  }

  /** A logger whose lines are part of the story. */
  logger(who: string): Logger {
    return this.enabled ? new TraceLogger(this, who, {}) : silentLogger
  }
}

class TraceLogger implements Logger {
  readonly #trace: Trace
  readonly #who: string
  readonly #bound: object

  constructor(trace: Trace, who: string, bound: object) {
    this.#trace = trace
    this.#who = who
    this.#bound = bound
  }

  debug(fields: object, sentence: string): void {
    this.#line('debug', fields, sentence)
  }
  info(fields: object, sentence: string): void {
    this.#line('info', fields, sentence)
  }
  warn(fields: object, sentence: string): void {
    this.#line('WARN', fields, sentence)
  }
  error(fields: object, sentence: string): void {
    this.#line('ERROR', fields, sentence)
  }
  child(fields: object): Logger {
    return new TraceLogger(this.#trace, this.#who, { ...this.#bound, ...fields })
  }

  #line(level: string, fields: object, sentence: string): void {
    const all = { ...this.#bound, ...fields } as Record<string, unknown>
    const told = Object.entries(all).map(([name, value]) => `${name}=${text(value)}`)
    this.#trace.add(this.#who, `${level} ${sentence} {${told.join(' ')}}`)
  }
}

function text(value: unknown): string {
  if (value instanceof Error) {
    const { code } = value as { code?: unknown }
    return `[${typeof code === 'string' ? code : value.name}] ${value.message}`
  }
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}
