//! Potential flow past an ellipsoid: the exact steady flow of an ideal fluid around a body whose
//! length, width and height can be chosen, in closed form.
//!
//! With the stream U = 1 along x and the half axes a, b, c, the velocity potential outside of the
//! body is φ = x (1 + α(λ) / (2 − α(0))), where λ(x, y, z) ≥ 0 names the confocal ellipsoid through
//! the point, x²/(a²+λ) + y²/(b²+λ) + z²/(c²+λ) = 1, and
//! α(λ) = abc ∫ from λ to ∞ of ds / ((a²+s)^(3/2) (b²+s)^(1/2) (c²+s)^(1/2))
//! (H. Lamb, Hydrodynamics, 6th ed. 1932, §114). The velocity is ∇φ, and Bernoulli's law gives the
//! pressure coefficient 1 − |∇φ|². The integral is Carlson's R_D(b²+λ, c²+λ, a²+λ) times abc · 2/3.
//!
//! Everything here is made of the four operations and square roots, which IEEE 754 rounds the same
//! everywhere: the values are the same on every machine.

/// A point or vector, in the unit of the half axes.
pub type Vector = [f64; 3];

/// An ellipsoid around the origin.
#[derive(Clone, Copy, Debug)]
pub struct Ellipsoid {
    /// Half axes along x, y and z.
    pub axes: Vector,
}

impl Ellipsoid {
    /// The point of the surface that the unit vector is stretched to.
    pub fn surface(&self, direction: Vector) -> Vector {
        std::array::from_fn(|i| self.axes[i] * direction[i])
    }

    /// The outward unit normal at a point of the surface.
    pub fn normal(&self, point: Vector) -> Vector {
        unit(std::array::from_fn(|i| point[i] / (self.axes[i] * self.axes[i])))
    }

    /// Whether a point lies outside of the body or on its surface.
    pub fn is_outside(&self, point: Vector) -> bool {
        (0..3).map(|i| (point[i] / self.axes[i]) * (point[i] / self.axes[i])).sum::<f64>() >= 1.0
    }

    /// The velocity at a point outside of the body, in units of the stream's.
    pub fn velocity(&self, point: Vector) -> Vector {
        let squares = self.axes.map(|axis| axis * axis);
        let lambda = root(point.map(|x| x * x), squares, 1);
        let shifted = squares.map(|square| square + lambda);
        let volume = self.axes[0] * self.axes[1] * self.axes[2];
        let alpha = |[a, b, c]: Vector| volume * 2.0 / 3.0 * carlson_rd(b, c, a);
        let scale = 2.0 - alpha(squares);
        // dα/dλ, and the gradient of λ from that of the equation that defines it.
        let slope = -volume / (shifted[0] * (shifted[0] * shifted[1] * shifted[2]).sqrt());
        let steepness: f64 = (0..3).map(|i| (point[i] / shifted[i]) * (point[i] / shifted[i])).sum();
        let gradient = |i: usize| 2.0 * point[i] / shifted[i] / steepness;
        std::array::from_fn(|i| {
            let stream = if i == 0 { 1.0 + alpha(shifted) / scale } else { 0.0 };
            stream + point[0] * slope * gradient(i) / scale
        })
    }

    /// The pressure coefficient where the velocity is this.
    pub fn pressure_coefficient(velocity: Vector) -> f64 {
        1.0 - dot(velocity, velocity)
    }

    /// The surface's nearest point to one outside. With t ≥ 0 the root of
    /// Σ (aᵢ xᵢ / (aᵢ² + t))² = 1 it is aᵢ² xᵢ / (aᵢ² + t): there the normal passes through x.
    pub fn nearest(&self, point: Vector) -> Vector {
        let squares = self.axes.map(|axis| axis * axis);
        let weights = std::array::from_fn(|i| squares[i] * point[i] * point[i]);
        let t = root(weights, squares, 2);
        std::array::from_fn(|i| squares[i] * point[i] / (squares[i] + t))
    }
}

/// The t ≥ 0 with Σ weightsᵢ / (shiftsᵢ + t)^power = 1, where the sum is at least 1 at 0. The sum
/// falls and is convex, so Newton's steps from 0 never pass the root.
fn root(weights: Vector, shifts: Vector, power: i32) -> f64 {
    let mut t = 0.0;
    for _ in 0..100 {
        let term = |i: usize| weights[i] / (0..power).fold(1.0, |product, _| product * (shifts[i] + t));
        let excess = (0..3).map(term).sum::<f64>() - 1.0;
        let slope: f64 = (0..3).map(|i| f64::from(power) * term(i) / (shifts[i] + t)).sum();
        let next = t + excess / slope;
        if excess <= 0.0 || next == t {
            break;
        }
        t = next;
    }
    t
}

/// Carlson's R_D(x, y, z) = 3/2 ∫ from 0 to ∞ of dt / ((t+x)^(1/2) (t+y)^(1/2) (t+z)^(3/2)), by
/// duplication (B. C. Carlson, Numer. Math. 33, 1979): every step brings the arguments four times
/// as close to each other, and a series of fifth order ends it.
fn carlson_rd(mut x: f64, mut y: f64, mut z: f64) -> f64 {
    let (mut sum, mut factor) = (0.0, 1.0);
    loop {
        let mean = (x + y + 3.0 * z) / 5.0;
        let [dx, dy, dz] = [x, y, z].map(|v| 1.0 - v / mean);
        if dx.abs().max(dy.abs()).max(dz.abs()) < 1e-3 {
            let (ea, eb) = (dx * dy, dz * dz);
            let ec = ea - eb;
            let ed = ea - 6.0 * eb;
            let ee = ed + 2.0 * ec;
            let series = 1.0
                + ed * (-3.0 / 14.0 + 9.0 / 88.0 * ed - 9.0 / 52.0 * dz * ee)
                + dz * (ee / 6.0 + dz * (-9.0 / 22.0 * ec + 3.0 / 26.0 * dz * ea));
            return 3.0 * sum + factor * series / (mean * mean.sqrt());
        }
        let (rx, ry, rz) = (x.sqrt(), y.sqrt(), z.sqrt());
        let lambda = rx * (ry + rz) + ry * rz;
        sum += factor / (rz * (z + lambda));
        factor /= 4.0;
        [x, y, z] = [x, y, z].map(|v| (v + lambda) / 4.0);
    }
}

/// The scalar product.
pub fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// The difference of two points.
pub fn difference(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[i] - b[i])
}

/// The vector of length 1 in the direction of another.
pub fn unit(vector: Vector) -> Vector {
    let length = dot(vector, vector).sqrt();
    vector.map(|x| x / length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_body()(axes in prop::array::uniform3(0.2f64..3.0)) -> Ellipsoid { Ellipsoid { axes } }
    }

    prop_compose! {
        fn any_direction()(
            v in prop::array::uniform3(-1.0f64..1.0).prop_filter("a direction", |v| dot(*v, *v) > 0.01)
        ) -> Vector { unit(v) }
    }

    proptest! {
        #[test]
        fn around_a_sphere_the_flow_is_the_textbooks(direction in any_direction(), r in 1.0f64..5.0) {
            let sphere = Ellipsoid { axes: [1.0; 3] };
            let u = sphere.velocity(direction.map(|x| x * r));
            // Stream and dipole: u = U (1 + 1/(2r³)) − 3 (U·n) n / (2r³).
            let decay = 0.5 / (r * r * r);
            for i in 0..3 {
                let stream = if i == 0 { 1.0 + decay } else { 0.0 };
                let expected = stream - 3.0 * decay * direction[0] * direction[i];
                prop_assert!((u[i] - expected).abs() < 1e-12, "{u:?}");
            }
            let sine = 1.0 - direction[0] * direction[0];
            let at_surface = Ellipsoid::pressure_coefficient(sphere.velocity(direction));
            prop_assert!((at_surface - (1.0 - 2.25 * sine)).abs() < 1e-12);
        }

        #[test]
        fn nothing_flows_through_the_body(body in any_body(), direction in any_direction()) {
            let point = body.surface(direction);
            prop_assert!(dot(body.velocity(point), body.normal(point)).abs() < 1e-9);
        }

        #[test]
        fn the_flow_has_neither_sources_nor_whirls_and_ends_in_the_stream(
            body in any_body(), direction in any_direction(), r in 1.2f64..4.0,
        ) {
            let point = body.surface(direction).map(|x| x * r);
            let h = 1e-4;
            let derivative = |axis: usize| {
                let step = |sign: f64| {
                    let mut moved = point;
                    moved[axis] += sign * h;
                    body.velocity(moved)
                };
                difference(step(1.0), step(-1.0)).map(|d| d / (2.0 * h))
            };
            let [dx, dy, dz] = [derivative(0), derivative(1), derivative(2)];
            prop_assert!((dx[0] + dy[1] + dz[2]).abs() < 1e-4);
            let whirl = [dy[2] - dz[1], dz[0] - dx[2], dx[1] - dy[0]];
            prop_assert!(whirl.iter().all(|w| w.abs() < 1e-4), "{whirl:?}");
            let far = body.velocity(direction.map(|x| x * 1e4));
            prop_assert!(difference(far, [1.0, 0.0, 0.0]).iter().all(|d| d.abs() < 1e-6));
        }

        #[test]
        fn the_nearest_point_is_on_the_surface_and_no_other_is_nearer(
            body in any_body(), direction in any_direction(), other in any_direction(), r in 1.0f64..4.0,
        ) {
            let point = body.surface(direction).map(|x| x * r);
            let nearest = body.nearest(point);
            let level: f64 = (0..3).map(|i| (nearest[i] / body.axes[i]).powi(2)).sum();
            prop_assert!((level - 1.0).abs() < 1e-9, "{level}");
            let distance = |to| dot(difference(point, to), difference(point, to));
            prop_assert!(distance(nearest) <= distance(body.surface(other)) + 1e-9);
        }
    }

    #[test]
    fn carlsons_integral_has_its_published_values() {
        // B. C. Carlson, Numerical Algorithms 10 (1995), §3.
        for ((x, y, z), expected) in
            [((0.0, 2.0, 1.0), 1.797_210_352_103_388), ((2.0, 3.0, 4.0), 0.165_105_272_942_610_53)]
        {
            assert!((carlson_rd(x, y, z) - expected).abs() < 1e-13, "{}", carlson_rd(x, y, z));
        }
    }
}
