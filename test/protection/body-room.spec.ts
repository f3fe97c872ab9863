import { Overloaded } from '../../src/errors/request-errors';
import { BodyRoom } from '../../src/protection/body-room';

describe('the bodies of requests that are under way', () => {
  const shed: string[] = [];
  const observer = {
    opened: () => undefined,
    refused: () => undefined,
    shed: (why: string) => void shed.push(why),
  };
  const open = () => new BodyRoom(observer, { maxBytes: 100, maxBytesOfPeer: 60 });

  it('take so much memory together and no more, and what left makes room', () => {
    const room = open();
    const leave = room.enter('a', 60);
    room.enter('b', 40);
    expect(() => room.enter('c', 1)).toThrow(Overloaded);
    expect(shed).toEqual(['bodies']);
    leave();
    room.enter('c', 60);
    expect(() => room.enter('a', 1)).toThrow(Overloaded);
  });

  it('of one address leave room for the others', () => {
    const room = open();
    const leave = room.enter('a', 60);
    expect(() => room.enter('a', 1)).toThrow(Overloaded);
    room.enter('b', 40);
    leave();
    room.enter('a', 60);
  });
});
