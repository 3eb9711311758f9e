// Reads all frames that pass the interfaces of a host, and counts those that hold a text. Node has no such sockets; Python has, where it is installed.
import { spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { HostNetwork } from '@mirabelle/testkit/netns'

const program = `
import select, socket, sys
text = sys.argv[1].encode()
frames = found = 0
eth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
eth.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8000000)
print('listening', flush=True)
while True:
    ready, _, _ = select.select([eth, sys.stdin], [], [])
    if eth in ready:
        frame, (interface, *_) = eth.recvfrom(65535)
        if interface.startswith('eth'):
            frames += 1
            found += text in frame
    elif sys.stdin in ready:
        break
print(frames, found, flush=True)
`

export const canEavesdrop = (): boolean => spawnSync('python3', ['--version']).status === 0

export interface Eavesdropper {
  /** Ends it; resolves with how many frames there were, and how many of them held the text. */
  readonly stop: () => Promise<{ readonly frames: number; readonly found: number }>
}

export async function eavesdrop(network: HostNetwork, host: string, text: string): Promise<Eavesdropper> {
  const child: ChildProcess = network.spawn(host, ['python3', '-c', program, text], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout?.setEncoding('utf8').on('data', (more: string) => (out += more))
  while (!out.includes('listening')) await once(child.stdout as NonNullable<typeof child.stdout>, 'data')
  return {
    stop: async () => {
      const ended = once(child, 'close')
      child.stdin?.end()
      await ended
      const [frames = 0, found = 0] = (out.split('\n')[1] ?? '').split(' ').map(Number)
      return { frames, found }
    },
  }
}
