//! The soak: see the library.

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let field = whoelse_tests::soak::Field::new(a[1].as_ref(), 1).unwrap();
    let n: i64 = a[3].parse().unwrap();
    let v = match a[2].as_str() {
        "4" => field.kill(whoelse_tests::soak::Kills { people: 50, cycles: n as u32, confirmed_min: 5e4 }),
        "p" => field.projector(n / 4, n),
        "5" => field.power(whoelse_tests::soak::Cuts { images: n as usize, served: 10, controls: 100, is_long: true }),
        "7" => field.failing_disk(n, false),
        _ => field.full_disk(),
    }.unwrap();
    println!("{}", v.line());
    for m in v.missed() { println!("  {m}"); }
}
