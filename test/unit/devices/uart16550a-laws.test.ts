import { Uart16550, type Uart16550State } from '../../../lib/devices/uart16550a';
import { deviceLaws, type DeviceLawOptions } from '../../support/device-laws';

const options: DeviceLawOptions<Uart16550> = {
  length: 8,
  hostActions: [(uart, value) => uart.receive(new Uint8Array(value % 24).fill(value)), (uart) => uart.receiveBreak()],
  lastingHostActions: [
    (uart, value) => uart.setModemLines({ cts: true, dsr: true, dcd: true, ri: (value & 1) === 0 }),
    (uart) => uart.setModemLines({ ri: false }),
  ],
};

deviceLaws<Uart16550State, Uart16550>('16550A', ({ irq, clock }) => new Uart16550({ irq, clock }), options);
deviceLaws<Uart16550State, Uart16550>('16550A without a clock', ({ irq }) => new Uart16550({ irq }), options);
