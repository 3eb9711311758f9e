/** What an administrator can do about a content: the last column of `state`. */
import type { Content } from '@mirabelle/messages'
import type { Pair } from './fts-pair.ts'
import type { ContentHealth } from './fts-ports.ts'

/** One sentence, or nothing when FTS and the instances see to it themselves. */
export function adviceFor(health: ContentHealth, content: Content, pair: Pair | null): string {
  switch (health) {
    case 'unknown':
    case 'up':
    case 'recovering':
    case 'suspect':
    case 'failing-over':
      return ''
    case 'down':
      return `Content ${content} has no mirror and ${nameOf(pair?.primary)} does not answer: start it with \`mirabelle start\`.`
    case 'double-fault':
      return (
        `Content ${content} cannot be served: ${nameOf(pair?.primary)} does not answer and ${nameOf(pair?.mirror)} ` +
        `may not or cannot take over. Start the primary with \`mirabelle start\`; then \`mirabelle recover\` brings the mirror back.`
      )
  }
}

function nameOf(row: Pair['mirror'] | undefined): string {
  return row === undefined || row === null ? 'its primary' : `dbid ${row.dbid} (${row.hostname}:${row.port})`
}
