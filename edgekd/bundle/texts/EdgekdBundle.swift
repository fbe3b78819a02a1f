// EdgekdBundle.swift: checks, pixels, model and score of a bundle made by edgekd. iOS 16, macOS 13 or later.
//
// NOT RUN: this file was written on a machine without Xcode; nobody compiled it or ran it on a device.
// Run `checkGolden()` on the device before you believe an answer.
//
// A research tool, not a medical device.

import CoreGraphics
import CoreML
import CryptoKit
import Foundation
import ImageIO

public enum EdgekdError: Error {
    case alteredFile(String), missingFile(String), extraFile(String)
    case unknownSchema(String), needsHairRemoval(String), needsPatient, notVerified
    case unreadableImage, pictureTooLarge(Int, Int), modelMismatch(String)
}

// MARK: - The card and the manifest

public struct EdgekdCard: Decodable {
    public struct OperatingPoint: Decodable {
        public let rule: String
        public let threshold: Double
        public let fittedOn: String
        public let borderlineHalfwidth: Double?
    }
    public struct Patient: Decodable { public let tensor: String }

    public let schema: String
    public let name: String
    public let precision: String
    public let inputPx: Int
    public let labels: [String]
    public let malignant: [String]
    public let hairRemoval: String
    public let patient: Patient?
    public let operatingPoint: OperatingPoint?
    public let temperature: Double
    public let intendedUse: String
    public let limits: [String]
}

struct EdgekdManifest: Decodable {
    struct File: Decodable {
        let sha256: String
        let sizeBytes: Int
    }
    let schema: String
    let model: String
    let card: String
    let golden: String
    let files: [String: File]
}

struct EdgekdGolden: Decodable {
    struct Item: Decodable {
        let image: String
        let input: String
        let logits: [Float]
        let score: Double
        let malignant: Bool
    }
    let items: [Item]
}

// MARK: - Pixels: edgekd.resample/1

/// An upright picture, RGB, row by row, three bytes a pixel.
public struct RGBPicture {
    public let width: Int
    public let height: Int
    public let bytes: [UInt8]
}

public enum Resample {
    public static let maxSide = 10_000

    /// The centre square of `picture`, scaled to `px` × `px`: what the network is fed.
    public static func prepare(_ picture: RGBPicture, px: Int) throws -> [UInt8] {
        guard min(picture.width, picture.height, px) >= 1,
            max(picture.width, picture.height, px) <= maxSide
        else { throw EdgekdError.pictureTooLarge(picture.width, picture.height) }
        let side = min(picture.width, picture.height)
        let top = (picture.height - side) / 2
        let left = (picture.width - side) / 2
        let taps = coefficients(from: side, to: px)
        // Along the rows: side × side → side rows of px pixels, rounded to bytes.
        var narrow = [UInt8](repeating: 0, count: side * px * 3)
        for row in 0..<side {
            let line = ((top + row) * picture.width + left) * 3
            for i in 0..<px {
                for channel in 0..<3 {
                    var sum: Int32 = 1 << 15
                    for (offset, k) in taps[i].weights.enumerated() {
                        sum += k * Int32(picture.bytes[line + (taps[i].start + offset) * 3 + channel])
                    }
                    narrow[(row * px + i) * 3 + channel] = UInt8(sum >> 16)
                }
            }
        }
        // Along the columns.
        var out = [UInt8](repeating: 0, count: px * px * 3)
        for i in 0..<px {
            for column in 0..<(px * 3) {
                var sum: Int32 = 1 << 15
                for (offset, k) in taps[i].weights.enumerated() {
                    sum += k * Int32(narrow[(taps[i].start + offset) * px * 3 + column])
                }
                out[i * px * 3 + column] = UInt8(sum >> 16)
            }
        }
        return out
    }

    /// For each of `m` outputs the first input it sees and the whole-number weights from there, which add up to 2¹⁶.
    static func coefficients(from n: Int, to m: Int) -> [(start: Int, weights: [Int32])] {
        let reach = 2 * max(n, m)
        return (0..<m).map { i in
            let centre = (2 * i + 1) * n
            let start = max(0, (centre - reach - m) / (2 * m))
            let stop = min(n, (centre + reach - m) / (2 * m) + 2)
            let weights = (start..<stop).map { j in max(0, reach - abs((2 * j + 1) * m - centre)) }
            let total = weights.reduce(0, +)
            var rest = total / 2
            let taps = weights.map { weight -> Int32 in
                let value = (weight << 16) + rest
                rest = value % total
                return Int32(value / total)
            }
            return (start, taps)
        }
    }
}

extension RGBPicture {
    /// The picture in an image file, turned upright by its Exif orientation; transparency over white, no profile.
    public init(contentsOf url: URL) throws {
        guard let source = CGImageSourceCreateWithURL(url as CFURL, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else { throw EdgekdError.unreadableImage }
        let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
        let orientation = properties?[kCGImagePropertyOrientation] as? Int ?? 1
        try self.init(image, orientation: orientation)
    }

    public init(_ image: CGImage, orientation: Int = 1) throws {
        let (w, h) = (image.width, image.height)
        guard w >= 1, h >= 1, w * h <= 100_000_000 else { throw EdgekdError.pictureTooLarge(w, h) }
        // The picture's own colour space, so that Core Graphics converts nothing.
        let own = image.colorSpace.flatMap { $0.model == .rgb ? $0 : nil } ?? CGColorSpaceCreateDeviceRGB()
        var rgbx = [UInt8](repeating: 255, count: w * h * 4)
        let drawn = rgbx.withUnsafeMutableBytes { memory -> Bool in
            guard
                let context = CGContext(
                    data: memory.baseAddress, width: w, height: h, bitsPerComponent: 8, bytesPerRow: w * 4,
                    space: own, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            let whole = CGRect(x: 0, y: 0, width: w, height: h)
            context.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
            context.fill(whole)
            context.interpolationQuality = .none
            context.draw(image, in: whole)
            return true
        }
        guard drawn else { throw EdgekdError.unreadableImage }
        let turned = orientation >= 5
        let (width, height) = turned ? (h, w) : (w, h)
        var rgb = [UInt8](repeating: 0, count: w * h * 3)
        for y in 0..<height {
            for x in 0..<width {
                let (column, row) = RGBPicture.stored(x, y, w, h, orientation)
                for channel in 0..<3 {
                    rgb[(y * width + x) * 3 + channel] = rgbx[(row * w + column) * 4 + channel]
                }
            }
        }
        self.init(width: width, height: height, bytes: rgb)
    }

    /// Where the upright pixel (x, y) lies in a stored picture of w × h pixels.
    private static func stored(_ x: Int, _ y: Int, _ w: Int, _ h: Int, _ orientation: Int) -> (Int, Int) {
        switch orientation {
        case 2: return (w - 1 - x, y)
        case 3: return (w - 1 - x, h - 1 - y)
        case 4: return (x, h - 1 - y)
        case 5: return (y, x)
        case 6: return (y, h - 1 - x)
        case 7: return (w - 1 - y, h - 1 - x)
        case 8: return (w - 1 - y, x)
        default: return (x, y)
        }
    }
}

// MARK: - The classifier

public struct Assessment {
    public let logits: [Float]
    /// Log odds of malignancy.
    public let score: Double
    public let probability: Double
    public let malignant: Bool
    /// nil: the card has no band around its threshold.
    public let borderline: Bool?
}

/// The bundle folder has to lie in the application as it is: add it as a folder reference, not as sources.
public final class LesionClassifier {
    public let card: EdgekdCard
    private let folder: URL
    private let manifest: EdgekdManifest
    private let model: MLModel
    private let inputName: String
    private let outputName: String

    public init(bundle folder: URL, configuration: MLModelConfiguration = MLModelConfiguration()) throws {
        self.folder = folder
        manifest = try LesionClassifier.read(EdgekdManifest.self, folder.appendingPathComponent("manifest.json"))
        guard manifest.schema == "edgekd.bundle/1" else { throw EdgekdError.unknownSchema(manifest.schema) }
        try LesionClassifier.check(folder, manifest)
        card = try LesionClassifier.read(EdgekdCard.self, folder.appendingPathComponent(manifest.card))
        guard card.schema == "edgekd.card/1" else { throw EdgekdError.unknownSchema(card.schema) }
        guard card.hairRemoval == "none" else { throw EdgekdError.needsHairRemoval(card.hairRemoval) }
        guard card.patient == nil else { throw EdgekdError.needsPatient }
        guard card.operatingPoint != nil else { throw EdgekdError.notVerified }
        let compiled = try MLModel.compileModel(at: folder.appendingPathComponent(manifest.model))
        model = try MLModel(contentsOf: compiled, configuration: configuration)
        let inputs = model.modelDescription.inputDescriptionsByName
        let outputs = model.modelDescription.outputDescriptionsByName
        guard inputs.count == 1, let input = inputs.first, input.value.type == .image,
            input.value.imageConstraint?.pixelsWide == card.inputPx, outputs.count == 1, let output = outputs.first
        else { throw EdgekdError.modelMismatch("expected one image of \(card.inputPx) pixels and one array") }
        inputName = input.key
        outputName = output.key
    }

    public func classify(_ picture: RGBPicture) throws -> Assessment {
        try assess(pixels: Resample.prepare(picture, px: card.inputPx))
    }

    public func classify(contentsOf url: URL) throws -> Assessment {
        try classify(RGBPicture(contentsOf: url))
    }

    /// The answer for pixels that are ready: RGB, `inputPx` × `inputPx`.
    public func assess(pixels: [UInt8]) throws -> Assessment {
        let features = try MLDictionaryFeatureProvider(dictionary: [
            inputName: MLFeatureValue(pixelBuffer: try buffer(pixels))
        ])
        let answer = try model.prediction(from: features)
        guard let array = answer.featureValue(for: outputName)?.multiArrayValue, array.count == card.labels.count
        else { throw EdgekdError.modelMismatch("expected \(card.labels.count) logits") }
        return judge((0..<array.count).map { array[$0].floatValue })
    }

    /// What the card says of `logits`.
    public func judge(_ logits: [Float]) -> Assessment {
        let named = zip(card.labels, logits.map(Double.init))
        let malignant = named.filter { card.malignant.contains($0.0) }.map(\.1)
        let benign = named.filter { !card.malignant.contains($0.0) }.map(\.1)
        let score = logSumExp(malignant) - (benign.isEmpty ? 0 : logSumExp(benign))
        let point = card.operatingPoint!
        return Assessment(
            logits: logits,
            score: score,
            probability: 1 / (1 + exp(-score / card.temperature)),
            malignant: score >= point.threshold,
            borderline: point.borderlineHalfwidth.map { abs(score - point.threshold) < $0 })
    }

    /// Every golden picture through this code and this device: how many bytes of pixels differ (0 is expected), by how
    /// much a logit differs at most, and which pictures are called otherwise.
    public func checkGolden() throws -> (differingBytes: Int, largestLogitDifference: Float, otherCalls: [String]) {
        let golden = try LesionClassifier.read(EdgekdGolden.self, folder.appendingPathComponent(manifest.golden))
        var bytes = 0
        var largest: Float = 0
        var others: [String] = []
        for item in golden.items {
            let picture = try RGBPicture(contentsOf: folder.appendingPathComponent(item.image))
            let made = try Resample.prepare(picture, px: card.inputPx)
            let expected = [UInt8](try Data(contentsOf: folder.appendingPathComponent(item.input)))
            bytes += zip(made, expected).reduce(abs(made.count - expected.count)) { $0 + ($1.0 == $1.1 ? 0 : 1) }
            let found = try assess(pixels: expected)
            largest = zip(found.logits, item.logits).reduce(largest) { max($0, abs($1.0 - $1.1)) }
            if found.malignant != item.malignant { others.append(item.image) }
        }
        return (bytes, largest, others)
    }

    private func buffer(_ pixels: [UInt8]) throws -> CVPixelBuffer {
        let px = card.inputPx
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, px, px, kCVPixelFormatType_32BGRA, nil, &made)
        guard let buffer = made, pixels.count == px * px * 3 else { throw EdgekdError.unreadableImage }
        CVPixelBufferLockBaseAddress(buffer, [])
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        let stride = CVPixelBufferGetBytesPerRow(buffer)
        let base = CVPixelBufferGetBaseAddress(buffer)!.assumingMemoryBound(to: UInt8.self)
        for y in 0..<px {
            for x in 0..<px {
                let from = (y * px + x) * 3
                let to = y * stride + x * 4
                base[to] = pixels[from + 2]
                base[to + 1] = pixels[from + 1]
                base[to + 2] = pixels[from]
                base[to + 3] = 255
            }
        }
        return buffer
    }

    private static func read<T: Decodable>(_ type: T.Type, _ url: URL) throws -> T {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(contentsOf: url))
    }

    /// Every file of the manifest is there with its bytes, and no other.
    private static func check(_ folder: URL, _ manifest: EdgekdManifest) throws {
        let base = folder.resolvingSymlinksInPath().path + "/"
        guard let found = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: [.isRegularFileKey])
        else { throw EdgekdError.missingFile("manifest.json") }
        for case let url as URL in found {
            guard try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { continue }
            let name = String(url.resolvingSymlinksInPath().path.dropFirst(base.count))
            if manifest.files[name] == nil && name != "manifest.json" && name != "model.sig" {
                throw EdgekdError.extraFile(name)
            }
        }
        for (name, facts) in manifest.files {
            guard let data = try? Data(contentsOf: folder.appendingPathComponent(name)) else {
                throw EdgekdError.missingFile(name)
            }
            let digest = SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined()
            if data.count != facts.sizeBytes || digest != facts.sha256 { throw EdgekdError.alteredFile(name) }
        }
    }
}

func logSumExp(_ values: [Double]) -> Double {
    let largest = values.max()!
    return largest + log(values.reduce(0) { $0 + exp($1 - largest) })
}
