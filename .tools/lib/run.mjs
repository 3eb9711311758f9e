// Starting a program and collecting what it says, so that a tool can stay quiet until something fails.
import { spawn } from 'node:child_process'
import { root } from './root.mjs'

/**
 * Runs a program in the checkout. Resolves to {status, output} where output holds stdout and stderr as they came.
 * `onSpawn` is told its pid.
 * A program that cannot be started has status 127 and the reason as output; one ended by a signal has status 128.
 */
export function run(command, args, { onSpawn, ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options })
    if (child.pid !== undefined) onSpawn?.(child.pid)
    const chunks = []
    child.stdout?.on('data', (chunk) => chunks.push(chunk))
    child.stderr?.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => resolve({ status: 127, output: `${command}: ${error.message}` }))
    child.on('close', (status, signal) => {
      const output = Buffer.concat(chunks).toString('utf8')
      resolve({ status: status ?? 128, output: signal === null ? output : `${output}\nended by ${signal}` })
    })
  })
}

/** Runs a JavaScript file below node_modules with this Node. */
export const runModule = (script, args, options) =>
  run(process.execPath, [`node_modules/${script}`, ...args], options)
