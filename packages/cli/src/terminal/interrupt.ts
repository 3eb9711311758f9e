/** Ctrl-C: what a command has to undo or end before the process does. Installed once by main; commands register what is theirs. */

type Undo = () => Promise<void>

const undos: Undo[] = []
let interrupted = false
let interruptedAt = 0

/** npm and shells pass on a Ctrl-C that the terminal has sent already: only a later one means "at once". */
const SAME_MS = 1_000

/** Runs `undo` when the command is interrupted; the returned function takes it back. The last one registered runs first. */
export function onInterrupt(undo: Undo): () => void {
  undos.push(undo)
  return () => {
    const at = undos.indexOf(undo)
    if (at >= 0) undos.splice(at, 1)
  }
}

const STATUS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** The command was interrupted: what fails from now on fails because of that, and needs no word. */
export function wasInterrupted(): boolean {
  return interrupted
}

/** Watches the signals of the terminal. A second one, later, ends the process at once. */
export function installInterrupts(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (interrupted) {
        if (performance.now() - interruptedAt > SAME_MS) process.exit(STATUS[signal])
        return
      }
      interrupted = true
      interruptedAt = performance.now()
      void unwind().then(() => process.exit(STATUS[signal]))
    })
  }
}

async function unwind(): Promise<void> {
  for (const undo of undos.splice(0).reverse()) {
    try {
      await undo()
    } catch (error) {
      process.stderr.write(
        `mirabelle: while cleaning up: ${error instanceof Error ? error.message : String(error)}\n`,
      )
    }
  }
}
