import type { DoorLogger } from '@mirabelle/pgwire'

export interface Line {
  readonly level: string
  readonly message: string
  readonly fields: Record<string, unknown>
}

/** A logger that keeps its lines. */
export function memoryLogger(): DoorLogger & { readonly lines: Line[]; above(level: 'info'): Line[] } {
  const lines: Line[] = []
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, fields: fields as Record<string, unknown> })
  }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    lines,
    above: () => lines.filter((line) => line.level === 'warn' || line.level === 'error'),
  }
}
