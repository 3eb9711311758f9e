/** The program `ip` of iproute2, and what it says when it cannot. */
import { spawn } from 'node:child_process'

export class IpError extends Error {
  override readonly name = 'IpError'
}

/** Runs `ip` with these arguments; resolves with what it prints. Rejects with IpError. */
export function ip(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let out = ''
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    child.stdin.on('error', () => undefined) // it ended before it had read all: its status says why
    child.once('error', (error) => {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      reject(new IpError(isMissing ? 'there is no program ip (iproute2)' : error.message, { cause: error }))
    })
    child.once('close', (code) => {
      if (code === 0) resolve(out)
      else reject(new IpError(`ip ${args.join(' ')}: ${firstLine(said) || `status ${code}`}`))
    })
    child.stdin.end(input)
  })
}

/** Runs commands in a namespace, one a line, in one process; the first that fails ends it. */
export async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await ip(['-n', namespace, '-batch', '-'], `${lines.join('\n')}\n`)
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? ''
}
