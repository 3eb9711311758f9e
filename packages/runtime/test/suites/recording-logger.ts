/** A logger that keeps its lines. */
import type { Logger } from '@mirabelle/runtime'

export interface Line {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Record<string, unknown>
  readonly sentence: string
}

export function recordingLogger(): { log: Logger; lines: Line[] } {
  const lines: Line[] = []
  const make = (bound: object): Logger => {
    const at = (level: Line['level']) => (fields: object, sentence: string) => {
      lines.push({ level, fields: { ...bound, ...fields }, sentence })
    }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (fields) => make({ ...bound, ...fields }),
    }
  }
  return { log: make({}), lines }
}
